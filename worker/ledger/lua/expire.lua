-- expire: ends jobs whose deadline has passed, and empties the lanes of deleted integrations, a chunk a call.
-- A: limit, event_retention
-- Answers how many jobs it ended.
-- A job in flight is left to its settlement, which looks at its deadline; it is looked at here again later (ms).
local RECHECK = 60000
local ended = 0
for _, job in ipairs(redis.call('ZRANGE', P .. 'pending', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, A.limit)) do
  local j = redis.call('HMGET', P .. 'job:' .. job, 'event', 'lane')
  if not j[1] then
    redis.call('ZREM', P .. 'pending', job)
  elseif redis.call('ZREM', P .. 'lane:' .. j[2] .. ':due', job) == 1 then
    touch(j[2])
    end_job(job, j[1], 'failed', 'deadline')
    ended = ended + 1
  else
    redis.call('ZADD', P .. 'pending', NOW + RECHECK, job)
  end
end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'closing', 10)) do
  local left = A.limit - ended
  if left <= 0 then break end
  local popped = redis.call('ZPOPMIN', P .. 'lane:' .. id .. ':due', left)
  for i = 1, #popped, 2 do
    local ref = redis.call('HGET', P .. 'job:' .. popped[i], 'event')
    end_job(popped[i], ref, 'cancelled', 'integration_deleted')
    ended = ended + 1
  end
  touch(id)
  if redis.call('ZCARD', P .. 'lane:' .. id .. ':due') == 0 and redis.call('SCARD', P .. 'lane:' .. id .. ':leased') == 0 then
    redis.call('SREM', P .. 'closing', id)
    redis.call('DEL', P .. 'lane:' .. id)
    redis.call('PEXPIRE', P .. 'jobs:' .. id, A.event_retention)
  end
end
reindex_touched()
write_counts()
return ended
