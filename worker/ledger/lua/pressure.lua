-- needs: event_records
-- pressure: how full the inbox is, and how old its next events are.
-- A: sample
-- Returns {events in the inbox, age (ms) of the youngest of the next `sample` events}. The youngest counts, because one
-- event that cannot be observed must not look like a fleet that cannot keep up.
local head = redis.call('ZRANGE', P .. 'inbox', 0, A.sample - 1)
local youngest = -1
for _, ref in ipairs(head) do
  local event = event_head(ref)
  if event and event.accepted_at > youngest then youngest = event.accepted_at end
end
return { redis.call('ZCARD', P .. 'inbox'), youngest > 0 and NOW - youngest or 0 }
