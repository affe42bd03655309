-- needs: event_acceptance
-- announce_disabled: accepts the events about an integration that the fleet disabled, once and only while it is
-- disabled.
-- A: id, events = [{ref scope}], grace (see event_acceptance.lua)
-- Returns 1 if they were accepted, else 0.
if redis.call('SISMEMBER', P .. 'unannounced', A.id) == 0 then return 0 end
local is_disabled = redis.call('HGET', P .. 'integration:' .. A.id, 'enabled') == '0'
-- If an index is damaged, the script fails here, and the integration stays to be announced.
if is_disabled then accept_events() end
redis.call('SREM', P .. 'unannounced', A.id)
if not is_disabled then return 0 end
write_counters()
return 1
