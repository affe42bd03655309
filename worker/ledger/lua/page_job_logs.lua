-- needs: integration_records, log_records
-- page_job_logs: a page of one job's logs, the last attempt first. Their ids follow from the job's id, so they need no
-- index.
-- A: job, offset, limit, integration = the job's integration, for a job whose record may be gone, or ''
-- Returns {meta, record, record ...}; meta = msgpack {members, total, lane, scope}; lane and scope are '' if unknown.
local job = redis.call('HMGET', P .. 'job:' .. A.job, 'attempts', 'lane')
-- `total` counts the logs that exist: older ones may have expired, and the attempt in flight has none yet.
local LOOKED_AT_MOST = 1000
local members, reply, total = {}, { '' }, 0
local attempts = num(job[1])
if not job[2] and A.integration ~= '' then
  -- Logs may be kept for longer than their job. Then `past` has the number of its attempts, unless it had only one.
  attempts = math.max(num(redis.call('GET', P .. 'past:' .. A.job)), 1)
  local last
  for attempt = attempts, math.max(1, attempts - LOOKED_AT_MOST + 1), -1 do
    last = redis.call('GET', P .. 'log:' .. A.job .. ':' .. attempt)
    if last then break end
  end
  if last and integration_of_log(last) == A.integration then job[2] = A.integration else attempts = 0 end
end
for attempt = attempts, math.max(1, attempts - LOOKED_AT_MOST + 1), -1 do
  local key = P .. 'log:' .. A.job .. ':' .. attempt
  if redis.call('EXISTS', key) == 1 then
    total = total + 1
    if total > A.offset and #members < A.limit then
      members[#members + 1] = A.job .. ':' .. attempt
      reply[#reply + 1] = redis.call('GET', key)
    end
  end
end
local scope = job[2] and scope_of(job[2]) or ''
reply[1] = cmsgpack.pack({ members = members, total = total, lane = job[2] or '', scope = scope })
return reply
