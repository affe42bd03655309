-- select_jobs: jobs of an integration to be redelivered, by when they were opened, the oldest first; a portion a call.
-- A: integration, since, skip, till, limit, states = {state = true}, mark
--    since, skip: begin at this time (ms), and pass over so many that were opened in that very millisecond
-- Answers msgpack {jobs = [{id, what redeliver would answer}], gone = how many more there would be, had retention kept
-- their event, looked_at, since, skip, done = 0 | 1}.
local index = P .. 'jobs:' .. A.integration
local found = redis.call('ZRANGE', index, A.since, A.till, 'BYSCORE', 'LIMIT', A.skip, A.limit, 'WITHSCORES')
local reply = { jobs = {}, gone = 0, looked_at = #found / 2, since = A.since, skip = A.skip, done = #found < 2 * A.limit and 1 or 0 }
for i = 1, #found, 2 do
  local job, opened = found[i], tonumber(found[i + 1])
  if opened == reply.since then
    reply.skip = reply.skip + 1
  else
    reply.since, reply.skip = opened, 1
  end
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'event', 'redelivery', 'owner')
  if j[1] and A.states[j[1]] and (A.mark == '' or j[3] ~= A.mark) then
    if redis.call('EXISTS', P .. 'event:' .. j[2]) == 1 then
      local word = j[1] ~= 'pending' and 'reopened' or (j[4] or '') == '' and 'due' or 'in_flight'
      reply.jobs[#reply.jobs + 1] = { job, word }
    else
      reply.gone = reply.gone + 1
    end
  end
end
return cmsgpack.pack(reply)
