-- needs: activity, attempt_logs, due_jobs, exhaustions, job_ends, kept_exchanges, leases, log_records, receiver_health
-- settle: writes the outcomes of attempts: log, job state, next due time, counters.
-- A: owner, log_retention, log_cap, history = 1 with a history (archive_entries.lua),
--    circuit? (see circuits.lua) and broken? (see broken_receivers.lua), where an item has failed,
--    items = [[job, attempt, revision, lane, scope, verdict, ms, health, {lost? reason? delay? rest? disable? why? exchange? quiet?}?]]
--    revision the integration's revision that the attempt used
--    verdict  succeeded | failed | retry
--    ms       how long the attempt took
--    health   ok | failed, or '' if the attempt shows nothing about the receiver
--    lost     its worker died: its log is written only if the attempt has no other log
--    reason   why the job failed         disable  why the integration is to be disabled
--    delay    ms until the job is due    rest     ms for which the whole lane rests
--    why      what went wrong, in words  exchange what was sent and answered, as JSON
--    quiet    1 if the event is a lifecycle event: its delivery raises none
-- ARGV[2], ARGV[3] and so on: the log of each item, without its time (log_records.lua)
-- Returns msgpack {results = [settled | renewed | late | stale], more = [lanes that have ready jobs and free slots],
-- later = [{lane, ms until it has ready jobs}],
-- circuits = [{lane open|closed until}] that changed, broken = [receivers to warn of: see broken_receivers.lua]}.
--   renewed  it failed with a configuration that was replaced since: the job is due now, whatever the verdict was
--   late     the lease had passed to another process, but the success ends the job
--   stale    the job no longer belonged to this process: only the log was written

-- Returns an item with names. A list with few names costs Redis less than a map.
local function named(given)
  local item = { job = given[1], attempt = given[2], revision = given[3], lane = given[4], scope = given[5],
                 verdict = given[6], ms = given[7], health = given[8], log = '' }
  for name, value in pairs(given[9] or {}) do item[name] = value end
  return item
end

local function read_job(item)
  local j = redis.call('HMGET', P .. 'job:' .. item.job,
    'state', 'owner', 'attempts', 'base', 'event', 'done', 'deadline', 'size', 'epoch', 'erased')
  local pending, owner, attempts = j[1] == 'pending', j[2] or '', num(j[3])
  return { pending = pending, owner = owner, attempts = attempts, base = num(j[4]), event = j[5], done = j[6],
           deadline = num(j[7]), size = j[8], epoch = j[9], erased = j[10],
           mine = pending and owner == A.owner and attempts == item.attempt }
end

-- Returns whether the integration's configuration was replaced since the attempt began. For a lost attempt that is not
-- known, so false.
local function is_outdated(item, lane)
  return not lane.current and not item.lost and item.revision < lane.renewed
end

-- Makes the job due again. If its deadline comes first, ends it and returns false.
local function retry(item, job, due)
  if due > job.deadline then
    end_job(item.job, job.event, 'failed', 'deadline', job.epoch)
    if not item.quiet then note_exhausted(item.lane, item.job, item.why or '') end
    return false
  end
  if item.lost then redis.call('HINCRBY', P .. 'job:' .. item.job, 'lost', 1) end
  redis.call('HSET', P .. 'job:' .. item.job, 'owner', '', 'tried', item.revision)
  add_due(item.job, item.lane, due, job.size)
  return true
end

-- Ends the job, or returns it to its lane.
local function move_on(item, job, lane)
  if item.verdict == 'succeeded' or job.done then
    end_job(item.job, job.event, 'succeeded', '', job.epoch)
  elseif job.erased then
    end_job(item.job, job.event, 'cancelled', 'erased', job.epoch)
  elseif is_outdated(item, lane) then
    return retry(item, job, NOW) and 'renewed' or 'settled'
  elseif item.verdict == 'failed' then
    end_job(item.job, job.event, 'failed', item.reason or '', job.epoch)
    if not item.quiet and item.reason ~= 'gone' then note_exhausted(item.lane, item.job, item.why or '') end
  else
    retry(item, job, NOW + (item.delay or 0))
  end
  return 'settled'
end

-- Records what the attempt shows about the lane's receiver. Call it only for the current configuration: the receiver of
-- an older one may have been a different one.
local function note_receiver(item, lane)
  if item.rest and NOW + item.rest > lane.rest_until then
    change_lane(item.lane, { rest_until = NOW + item.rest })
  end
  if item.disable then disable(item.lane, item.disable, item.quiet) end
  if item.health ~= '' then note_health(item.lane, item) end
end

local function settle(item, job)
  if item.lost then count('lost') end
  note_activity(item.lane, item.verdict == 'succeeded', item.ms)
  unlease(item.job, item.lane, A.owner)
  touch_freed(item.lane)
  local h = lane_record(item.lane)
  local lane = { current = h.revision and num(h.revision) == item.revision, rest_until = num(h.rest_until),
                 renewed = num(h.renewed) }
  local result = move_on(item, job, lane)
  if lane.current then note_receiver(item, lane) end
  return result
end

-- Settles the success of an attempt whose lease had passed to another process.
local function settle_late(item, job)
  if job.owner ~= '' and job.attempts > item.attempt then
    -- A later attempt is in flight: the job ends together with it, so that it gets its log too.
    redis.call('HSET', P .. 'job:' .. item.job, 'done', 1)
    return
  end
  if job.owner ~= '' then unlease(item.job, item.lane, job.owner) end
  take_due(item.job, item.lane, job.size)
  touch(item.lane)
  note_activity(item.lane, true, item.ms)
  end_job(item.job, job.event, 'succeeded', '', job.epoch)
end

-- Notes a log for the history, unless its job ends here: the job's end leads to its last logs.
local function note_attempt(item, job, result)
  if job.mine and result == 'settled' and item.verdict ~= 'retry' then return end
  local had_ended = job.event and not job.pending
  later('RPUSH', P .. 'attempted', (had_ended and '~' or '') .. item.job .. ':' .. item.attempt)
  -- The job is not forgotten before this log is archived, too.
  if had_ended then redis.call('HINCRBY', P .. 'job:' .. item.job, 'late', 1) end
end

local results = {}
for i, given in ipairs(A.items) do
  local item = named(given)
  local job = read_job(item)
  item.log = stamped_log(ARGV[1 + i])
  -- A process that was taken for dead may still report the real outcome; the log of a lost attempt must not replace it.
  if job.erased then item.log, item.exchange = without_answer(item.log), nil end
  local logged = item.lost and redis.call('EXISTS', P .. 'log:' .. item.job .. ':' .. item.attempt) == 1
  local writes = not item.lost or (job.mine and not logged)
  if writes then write_log(item) end
  keep_exchange(item)
  if job.mine then
    results[i] = settle(item, job)
  elseif job.pending and item.verdict == 'succeeded' and item.attempt > job.base then
    settle_late(item, job)
    results[i] = 'late'
  else
    results[i] = 'stale'
  end
  if A.history == 1 and writes then note_attempt(item, job, results[i]) end
end
write_ends()
trim_logs()
write_activity()
local more, timed = write_lanes(true)
write_counters()
return cmsgpack.pack({ results = results, more = more, later = timed, circuits = circuit_changes, broken = broken_receivers })
