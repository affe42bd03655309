-- needs: counters, rejected_list, retention
-- set_aside: counts a failure to observe an event; after the last try it moves the event from the inbox to the rejected
-- list. The process that tried is alive, so the event has not lost an observer.
-- A: ref, tries, entry, rejected_cap, announce
-- Returns 1 if the event was set aside, 0 if it will be tried again or was not in the inbox.
local progress = P .. 'event:' .. A.ref .. ':progress'
if not redis.call('ZSCORE', P .. 'inbox', A.ref) then return 0 end
local tries = redis.call('HINCRBY', progress, 'failures', 1)
if tries < A.tries then
  redis.call('HDEL', progress, 'observers')
  redis.call('ZADD', P .. 'inbox', NOW + A.announce * tries, A.ref)
  return 0
end
redis.call('ZREM', P .. 'inbox', A.ref)
keep_rejected({ A.entry })
if num(redis.call('HGET', progress, 'open')) <= 0 then retain_event(A.ref) end
write_collected()
count('set_aside')
write_counters()
return 1
