-- needs: counters, event_retention, rejected_list
-- set_aside: an event that could not be observed. After the last try it leaves the inbox for the rejected list. The
-- process that tried lives, so the event has lost no observer by it.
-- A: ref, tries, entry, rejected_cap, announce, event_retention
-- Returns 1 where it was set aside, 0 where it will be tried again or was not in the inbox.
if not redis.call('ZSCORE', P .. 'inbox', A.ref) then return 0 end
local tries = redis.call('HINCRBY', P .. 'event:' .. A.ref, 'failures', 1)
if tries < A.tries then
  redis.call('HDEL', P .. 'event:' .. A.ref, 'observers')
  redis.call('ZADD', P .. 'inbox', NOW + A.announce * tries, A.ref)
  return 0
end
redis.call('ZREM', P .. 'inbox', A.ref)
keep_rejected({ A.entry })
if num(redis.call('HGET', P .. 'event:' .. A.ref, 'open')) <= 0 then retain_event(A.ref) end
count('set_aside')
write_counters()
return 1
