-- needs: event_acceptance
-- announce_disabled: accepts the events about an integration that the fleet disabled, once and only while it is
-- disabled.
-- A: id, events = [{ref scope}], grace (see event_acceptance.lua)
-- Returns 1 if they were accepted, else 0.
if redis.call('SREM', P .. 'unannounced', A.id) == 0 then return 0 end
if redis.call('HGET', P .. 'integration:' .. A.id, 'enabled') ~= '0' then return 0 end
accept_events()
write_counters()
return 1
