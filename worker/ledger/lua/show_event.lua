-- needs: job_records
-- show_event: the history of an event: whether it is in the inbox, and a page of its jobs, each with its last log.
-- A: ref, offset, limit
-- Returns {msgpack {accepted_at failures waiting = 1 in the inbox, total, jobs = [{id row event_id event_type due
-- logs = [] or [{member log}]}]}, raw, id, scope}; nil if retention has dropped the event, or it never existed.
local event = redis.call('HMGET', P .. 'event:' .. A.ref, 'id', 'type', 'accepted_at', 'raw', 'scope', 'failures')
if not event[4] then return nil end
local function last_logs(id, attempts)
  -- The attempt in flight has no log yet; then the one before has the last log.
  for attempt = attempts, math.max(1, attempts - 1), -1 do
    local log = redis.call('GET', P .. 'log:' .. id .. ':' .. attempt)
    if log then return { { member = id .. ':' .. attempt, log = log } } end
  end
  return {}
end

local jobs = {}
local list = P .. 'event:' .. A.ref .. ':jobs'
for _, id in ipairs(redis.call('LRANGE', list, A.offset, A.offset + A.limit - 1)) do
  local job = job_record(id)
  if job then
    job.logs = last_logs(id, num(job.row.attempts))
    jobs[#jobs + 1] = job
  end
end
return { cmsgpack.pack({ accepted_at = num(event[3]), failures = num(event[6]), jobs = jobs,
                         waiting = redis.call('ZSCORE', P .. 'inbox', A.ref) and 1 or 0,
                         total = redis.call('LLEN', list) }), event[4], event[1], event[5] }
