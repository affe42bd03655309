-- needs: backlog, event_records, exhaustions
-- expire: ends jobs past their deadline, due jobs beyond their lane's backlog, and jobs of deleted integrations; one
-- chunk a call.
-- A: limit, backlog, backlog_bytes, quiet = {type = true} of lifecycle events
-- Returns the number of jobs that it ended.
-- While a jump of TIME is held back (see clock.lua), nothing is ended.
if HELD > 0 then return 0 end
-- The settlement of a job in flight checks its deadline; this script checks the job again after this time (ms).
local RECHECK = 60000
local ended = 0
for _, job in ipairs(redis.call('ZRANGE', P .. 'pending', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, A.limit)) do
  local j = redis.call('HMGET', P .. 'job:' .. job, 'event', 'lane', 'size', 'epoch')
  if not j[1] then
    redis.call('ZREM', P .. 'pending', job)
  elseif take_due(job, j[2], j[3]) then
    touch(j[2])
    end_job(job, j[1], 'failed', 'deadline', j[4])
    local event = event_head(j[1])
    if not (event and A.quiet[event.type]) then note_exhausted(j[2], job, 'its time was over') end
    ended = ended + 1
  else
    redis.call('ZADD', P .. 'pending', NOW + RECHECK, job)
  end
end
-- Returns how many due jobs a lane has too many. It assumes that all are of the same size; the next call checks again.
local function excess_of(id)
  local jobs = redis.call('ZCARD', P .. 'lane:' .. id .. ':due')
  local bytes = backlog_bytes(id)
  local too_many = jobs - A.backlog
  if A.backlog_bytes <= 0 or bytes <= A.backlog_bytes or jobs == 0 then return too_many end
  return math.max(too_many, math.ceil((bytes - A.backlog_bytes) / (bytes / jobs)))
end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'overflowing', 10)) do
  local excess = excess_of(id)
  if excess <= 0 then
    redis.call('SREM', P .. 'overflowing', id)
  elseif ended < A.limit then
    ended = ended + cancel_oldest(id, math.min(excess, A.limit - ended))
  end
end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'closing', 10)) do
  local left = A.limit - ended
  if left <= 0 then break end
  ended = ended + cancel_due(id, 'ZPOPMIN', left, 'integration_deleted')
  local key = P .. 'lane:' .. id
  if redis.call('ZCARD', key .. ':due') == 0 and redis.call('SCARD', key .. ':leased') == 0 then
    redis.call('SREM', P .. 'closing', id)
    delete_lane(id)
  end
end
write_ends()
write_lanes()
write_counters()
return ended
