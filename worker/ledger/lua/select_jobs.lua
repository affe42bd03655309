-- needs: redelivery_marks, time_cursor
-- select_jobs: a chunk of an integration's jobs to redeliver by time of opening, the oldest first.
-- A: integration, since, after, till, limit, states = {state = true}, mark
--    (the cursor and its chunk: see time_cursor.lua)
-- Returns msgpack {jobs = [{id, the word that redeliver would return}], gone = how many jobs are left out because
-- retention dropped their event, or it was erased, looked_at, since, after, done = 0 | 1}.
local index = P .. 'jobs:' .. A.integration
local found = read_chunk(index)
local reply = cursor_after(found)
reply.jobs, reply.gone = {}, 0
for i = 1, #found, 2 do
  local job = found[i]
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'event', 'marks', 'owner')
  if j[1] and A.states[j[1]] and not has_mark(j[3]) then
    local event = P .. 'event:' .. j[2]
    if redis.call('EXISTS', event) == 1 and not redis.call('HGET', event .. ':progress', 'erased') then
      local word = j[1] ~= 'pending' and 'reopened' or (j[4] or '') == '' and 'due' or 'in_flight'
      reply.jobs[#reply.jobs + 1] = { job, word }
    else
      reply.gone = reply.gone + 1
    end
  end
end
return cmsgpack.pack(reply)
