-- needs: change_records, due_jobs, event_jobs, event_records, hot_events, job_ends, log_records, resource_events, retention
-- erase: erases an event's data and the answers to it, and cancels its pending jobs; one chunk of its jobs a call. The
-- counts, the digest of the event and the logs' outcomes stay. Sweeps go on with what a dead caller has left.
-- A: ref, limit, history = 1 with a history, and the record of the change (see change_records.lua)
-- ARGV[2]  the event's record without its data; left out to go on with an erasure that has begun
-- Returns msgpack {found = 0 | 1, jobs = jobs of this chunk, left = 1 if more jobs follow}.
local key = P .. 'event:' .. A.ref
local progress = key .. ':progress'
-- Attempts of one job whose logs are read at most.
local MOST_LOGS = 1000

local function begin_erasure(record)
  take_from_resource(head_of(record).resource, A.ref)
  -- A job may have been opened since the caller read the record.
  redis.call('SET', key, with_first_job(ARGV[2], first_job_of(record)))
  drop_hot_records()
  redis.call('HSET', progress, 'erased', 0)
  redis.call('SADD', P .. 'erasing', A.ref)
  -- It may be in the history, or on its way there.
  if A.history == 1 then redis.call('SADD', P .. 'tombstones', A.ref) end
  if redis.call('ZREM', P .. 'inbox', A.ref) == 1 then
    count(first_job(A.ref) ~= '' and 'matched' or 'unmatched')
    if num(redis.call('HGET', progress, 'open')) <= 0 then retain_event(A.ref) end
  end
  record_change()
end

-- Erases the answers to the attempts of a job. `lane` is nil if the job's record is gone.
local function erase_answers(job, attempts, lane)
  for attempt = attempts, math.max(1, attempts - MOST_LOGS + 1), -1 do
    local member = job .. ':' .. attempt
    local log = redis.call('GET', P .. 'log:' .. member)
    if log then
      redis.call('SET', P .. 'log:' .. member, without_answer(log), 'XX', 'KEEPTTL')
      lane = lane or integration_of_log(log)
    end
    if lane then redis.call('HDEL', P .. 'exchanges:' .. lane, member) end
  end
end

local function erase_job(job)
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'owner', 'lane', 'size', 'epoch', 'attempts')
  if j[1] then
    -- A job in flight ends when its attempt is settled or given back.
    redis.call('HSET', P .. 'job:' .. job, 'erased', 1)
    if j[1] == 'pending' and (j[2] or '') == '' and take_due(job, j[3], j[4]) then
      touch(j[3])
      end_job(job, A.ref, 'cancelled', 'erased', j[5])
    end
  end
  -- Logs may be kept for longer than their job.
  local attempts = num(j[1] and j[6] or redis.call('GET', P .. 'past:' .. job))
  erase_answers(job, math.max(1, attempts), j[3] or nil)
end

local record = redis.call('GET', key)
local begun = redis.call('HGET', progress, 'erased')
local reply = { found = 1, jobs = 0, left = 0 }
if not record or not (begun or ARGV[2]) then
  redis.call('SREM', P .. 'erasing', A.ref)
  reply.found = 0
else
  if not begun then begin_erasure(record) end
  local place = num(begun)
  local ids = some_jobs(A.ref, place, A.limit)
  for first = 1, #ids, ID_BYTES do erase_job(string.sub(ids, first, first + ID_BYTES - 1)) end
  reply.jobs = #ids / ID_BYTES
  redis.call('HSET', progress, 'erased', place + reply.jobs)
  if reply.jobs < A.limit then redis.call('SREM', P .. 'erasing', A.ref) else reply.left = 1 end
end
write_ends()
write_lanes()
write_counters()
return cmsgpack.pack(reply)
