-- page_job_logs: a page of one job's logs, the last attempt first. Their ids follow from the job's, so there is no index.
-- A: job, offset, limit
-- Answers {meta, JSON, JSON ...}; meta = msgpack {members, total, lane, scope}; lane and scope are '' where there is none.
local job = redis.call('HMGET', P .. 'job:' .. A.job, 'attempts', 'lane', 'owner')
local total = num(job[1])
-- The attempt in flight has no log yet, but where its outcome came late.
if (job[3] or '') ~= '' and redis.call('EXISTS', P .. 'log:' .. A.job .. ':' .. total) == 0 then total = total - 1 end
local members, reply = {}, { '' }
for attempt = total - A.offset, math.max(1, total - A.offset - A.limit + 1), -1 do
  local log = redis.call('GET', P .. 'log:' .. A.job .. ':' .. attempt)
  if log then
    members[#members + 1] = A.job .. ':' .. attempt
    reply[#reply + 1] = log
  end
end
local scope = job[2] and redis.call('HGET', P .. 'integration:' .. job[2], 'scope') or ''
reply[1] = cmsgpack.pack({ members = members, total = math.max(0, total), lane = job[2] or '', scope = scope })
return reply
