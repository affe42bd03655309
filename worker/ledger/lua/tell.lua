-- tell: an event that tells of an integration which the fleet has disabled; once, and only while that is how it is.
-- A: id, events = [{ref id type scope raw digest}], door, grace, horizon
-- Answers 1 where they were accepted.
if redis.call('SREM', P .. 'untold', A.id) == 0 then return 0 end
if redis.call('HGET', P .. 'integration:' .. A.id, 'enabled') ~= '0' then return 0 end
for _, e in ipairs(A.events) do accept_event(e) end
write_counts()
return 1
