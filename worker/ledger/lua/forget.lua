-- needs: archive_entries, collected_writes, event_jobs, event_records, known_ids, log_records, outbox_turns, resource_events
-- forget: deletes ended jobs and events that were kept for long enough, with their entries in the indexes: the oldest
-- first, one chunk a call. With a history, only what is archived, with its logs; without one, logs expire by themselves.
-- A: limit, event_retention, log_retention, short = 1 if Redis has no memory for what was cut: it is forgotten at once,
--    history = 1 with a history, window (ms after archiving)
-- Returns how many entries of the lists `ended`, `cut` and `archived` it has worked off.
-- While a jump of TIME is held back (see clock.lua), nothing is forgotten.
if HELD > 0 then return 0 end
local forgotten, records, done = {}, {}, 0
-- Without a history here, but with one elsewhere in the fleet, nothing is forgotten before it is archived (ms).
local HISTORY_SEEN = 86400000
-- Stores' lists that one call looks at.
local MOST_TURNS = 20
-- Arguments of one EXISTS.
local JOBS_AT_ONCE = 1000

local function drop(key) records[#records + 1] = key end

-- Returns whether any job of the event is still kept. `ids` are its jobs, in one string.
local function has_jobs(ids)
  local keys = {}
  for first = 1, #ids, ID_BYTES do
    local id = string.sub(ids, first, first + ID_BYTES - 1)
    if not forgotten[id] then keys[#keys + 1] = P .. 'job:' .. id end
    if #keys == JOBS_AT_ONCE then
      if redis.call('EXISTS', unpack(keys)) > 0 then return true end
      keys = {}
    end
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

-- Forgets an event, unless it has jobs. `again` is the list for its entry if other jobs, which ended before, may still be
-- kept.
local function forget_event(ref, again)
  local key = P .. 'event:' .. ref
  -- A job may have been reopened, or opened later; the event is kept until that has ended and is forgotten.
  if has_jobs(jobs_of_event(ref)) then
    if again == 'archived' then
      -- The last of its jobs that is pending will have an entry of its own.
      if num(redis.call('HGET', key .. ':progress', 'open')) <= 0 then
        later('RPUSH', P .. 'archived', string.format('%.0f !%.0f %s', NOW, NOW, ref))
      end
    elseif again then
      later('RPUSH', P .. again, string.format('!%.0f %s', NOW, ref))
    end
    return
  end
  local event = event_head(ref)
  if event then
    later('ZREM', P .. 'events:' .. event.scope, ref)
    take_from_resource(event.resource, ref)
    if again == 'archived' then remember(ref) end
  end
  drop(key)
  drop(key .. ':jobs')
  drop(key .. ':progress')
end

-- The logs that were forgotten, by index.
local gone = {}
local function drop_log(member, scope, lane)
  drop(P .. 'log:' .. member)
  later('HDEL', P .. 'exchanges:' .. lane, member)
  for _, index in ipairs({ 'store:' .. scope, 'failures:' .. scope, 'integration:' .. lane }) do
    local members = gone[index] or { n = 0 }
    members[member], members.n = true, members.n + 1
    gone[index] = members
  end
end

-- Removes forgotten logs from the old ends of their indexes. What is left in the middle, readers skip.
local function trim_indexes()
  for index, members in pairs(gone) do
    local key, n = P .. 'logs:' .. index, 0
    for _, member in ipairs(redis.call('LRANGE', key, 0, members.n + 10)) do
      if not members[member] and redis.call('EXISTS', P .. 'log:' .. member) == 1 then break end
      n = n + 1
    end
    if n > 0 then redis.call('LPOP', key, n) end
  end
end

local scopes = {}
local function scope_of(lane, ref)
  if scopes[lane] == nil then scopes[lane] = redis.call('HGET', P .. 'lane:' .. lane, 'scope') or false end
  return scopes[lane] or (event_head(ref) or {}).scope or ''
end

-- Attempts of one job whose logs are deleted with it; earlier ones were archived, and are deleted, one by one.
local MOST_LOGS = 100

-- Forgets the job of an entry, and its event if it ended with it. Returns false if that is too early.
local function forget_job(job, epoch, is_last, latest, again)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'state', 'ended_at', 'epoch', 'lane', 'event', 'attempts', 'late')
  -- It was reopened since; its next end has an entry of its own.
  if not j[1] or j[1] == 'pending' or num(j[3]) ~= epoch then return true end
  local archived = again == 'archived'
  if not archived and num(j[2]) > latest then return false end
  if archived and num(j[7]) > 0 then
    -- A log of it was written since, and is not archived yet.
    local entry = (is_last and '+' or '') .. job .. (epoch > 0 and ':' .. epoch or '')
    later('RPUSH', P .. 'archived', string.format('%.0f %s', NOW, entry))
    return true
  end
  forgotten[job] = true
  drop(key)
  later('ZREM', P .. 'jobs:' .. j[4], job)
  -- The logs of its attempts may be kept for longer. If the job is opened again, their numbers must not be used again;
  -- of a single attempt its log is enough to see.
  local attempts = num(j[6])
  if attempts > 1 then redis.call('SET', P .. 'past:' .. job, attempts, 'PX', A.log_retention) end
  if archived then
    local scope = scope_of(j[4], j[5])
    for attempt = attempts, math.max(1, attempts - MOST_LOGS + 1), -1 do drop_log(job .. ':' .. attempt, scope, j[4]) end
  end
  if is_last then forget_event(j[5], again) end
  return true
end

-- Forgets an entry, if it ended at `latest` or before. Returns false if that is too early.
local function forget_entry(entry, latest, again)
  local ref, time = ended_event(entry)
  if not ref then
    local job, epoch, is_last = ended_job(entry)
    return forget_job(job, epoch, is_last, latest, again)
  end
  if again ~= 'archived' and time > latest then return false end
  forget_event(ref, again == 'archived' and again)
  return true
end

-- Forgets an archived log, unless another one has replaced it since.
local function forget_log(job, attempt, time)
  local log = redis.call('GET', P .. 'log:' .. job .. ':' .. attempt)
  if not log or time_of_log(log) ~= time then return end
  local lane = integration_of_log(log)
  drop_log(job .. ':' .. attempt, scope_of(lane, redis.call('HGET', P .. 'job:' .. job, 'event') or ''), lane)
end

local function work_off(list, forget_one)
  local before = done
  for _, entry in ipairs(redis.call('LRANGE', P .. list, 0, A.limit - done - 1)) do
    if not forget_one(entry) then break end
    done = done + 1
  end
  if done > before then redis.call('LPOP', P .. list, done - before) end
end

-- Stores' lists that the history's archiver has filled, before there was none (outbox_turns.lua).
local turns = {}

local function forget_list(list, latest)
  -- Entries of one event stand in their order in a single list only.
  local again = (list == 'cut' or #turns > 0) and 'ended'
  if done < A.limit then
    work_off(list, function(entry) return forget_entry(entry, latest, again) end)
  end
end

local function forget_archived(latest)
  work_off('archived', function(entry)
    local time, of = string.match(entry, '^(%d+) (.*)$')
    if num(time) > latest then return false end
    local job, attempt, logged = string.match(of, '^=(.*):(%d+):(%d+)$')
    if job then
      forget_log(job, attempt, logged)
      return true
    end
    return forget_entry(of, latest, 'archived')
  end)
end

local kept = A.history == 1 and A.window or A.event_retention
forget_archived(A.short == 1 and NOW or NOW - kept)
if A.history ~= 1 and NOW - num(redis.call('HGET', P .. 'meta', 'archived_at')) > HISTORY_SEEN then
  turns = redis.call('LRANGE', P .. 'turns', 0, MOST_TURNS - 1)
  forget_list('cut', A.short == 1 and NOW or NOW - A.event_retention)
  forget_list('ended', NOW - A.event_retention)
  for _, list in ipairs(turns) do
    if not has_logs(list) and not has_changes(list) then forget_list(list, NOW - A.event_retention) end
    end_turn(list)
  end
end
write_collected()
expire_known()
trim_indexes()
if #records > 0 then redis.call('UNLINK', unpack(records)) end
return done
