-- needs: backlog, change_records, redelivery_marks
-- redeliver: reopens ended jobs, each with a new epoch, and makes pending jobs that wait due now.
-- A: jobs, deadline, backlog, backlog_bytes, mark = the redelivery's id, or '',
--    states = {state = true}, empty for any
--    and the record of the change, which is written if a job is reopened or made due (see change_records.lua)
-- Returns one word for each job:
--   reopened   it had ended
--   due        it was waiting, and is due now
--   in_flight  an attempt is in flight
--   known      the same redelivery has handled it before
--   other      its state is not among the states: it was settled after it was selected
--   full       it has ended, and its lane's backlog is full; a redelivery never cancels a pending job
--   gone       the job, its event or its integration does not exist any more, or the event was erased
local any = next(A.states) == nil
local answers = {}
local has_changed = false
for i, job in ipairs(A.jobs) do
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'state', 'lane', 'event', 'attempts', 'owner', 'marks', 'size')
  local event = j[3] and P .. 'event:' .. j[3]
  if not j[1] or redis.call('EXISTS', event) == 0 or redis.call('EXISTS', P .. 'integration:' .. j[2]) == 0
    or redis.call('HGET', event .. ':progress', 'erased') then
    answers[i] = 'gone'
  elseif has_mark(j[6]) then
    answers[i] = 'known'
  elseif not (any or A.states[j[1]]) then
    answers[i] = 'other'
  elseif j[1] ~= 'pending' and not has_room(j[2], num(j[7])) then
    answers[i] = 'full'
  elseif j[1] ~= 'pending' then
    redis.call('HSET', key, 'state', 'pending', 'reason', '', 'base', j[4], 'lost', 0, 'marks', marked(j[6]),
      'deadline', NOW + A.deadline)
    redis.call('HINCRBY', key, 'epoch', 1)
    redis.call('HDEL', key, 'ended_at')
    redis.call('HINCRBY', event .. ':progress', 'open', 1)
    redis.call('ZADD', P .. 'pending', NOW + A.deadline, job)
    make_due(job, j[2], NOW, j[7])
    count('reopened')
    answers[i] = 'reopened'
    has_changed = true
  elseif j[5] and j[5] ~= '' then
    answers[i] = 'in_flight'
  else
    redis.call('HSET', key, 'marks', marked(j[6]))
    make_due(job, j[2], NOW, j[7])
    answers[i] = 'due'
    has_changed = true
  end
end
if has_changed then record_change() end
write_lanes()
write_counters()
return answers
