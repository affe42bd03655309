-- needs: event_acceptance, exhaustions
-- publish_exhausted: accepts the event that reports `number` jobs that failed for good. Further ones wait for the next event.
-- A: lane, number, events = [{ref scope}], grace (see event_acceptance.lua)
-- Returns 1, or 0 if another process has done it.
local index = P .. 'exhausted'
local due, h = redis.call('ZSCORE', index, A.lane), lane_record(A.lane)
if not due or tonumber(due) > NOW then return 0 end
local left = num(h.exhausted) - A.number
if not h.scope or A.number == 0 or left < 0 then
  redis.call('ZREM', index, A.lane)
  return 0
end
-- If an index is damaged, the script fails here, and the jobs stay to be reported.
accept_events()
if left > 0 then
  redis.call('ZADD', index, NOW + EXHAUSTED_PAUSE, A.lane)
  change_lane(A.lane, { exhausted = left, exhausted_since = NOW, exhausted_at = NOW })
else
  redis.call('ZREM', index, A.lane)
  change_lane(A.lane, { exhausted = false, exhausted_since = false, exhausted_job = false, exhausted_why = false,
                        exhausted_at = NOW })
end
write_lane_records()
write_counters()
return 1
