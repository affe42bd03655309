-- needs: event_acceptance
-- publish_notice: accepts the events that report a transition, and takes its notice off the list.
-- A: notice (as it is in the list), events = [{ref scope}], grace (see event_acceptance.lua)
-- Returns 1, or 0 if another process has done it.
if redis.call('LREM', P .. 'notices', 1, A.notice) == 0 then return 0 end
local accepted, why = pcall(accept_events)
if not accepted then
  -- An index is damaged; the notice stays until it is repaired.
  redis.call('LPUSH', P .. 'notices', A.notice)
  error(why, 0)
end
write_counters()
return 1
