-- needs: collected_writes, event_jobs, event_records, resource_events
-- forget: deletes ended jobs and events that were kept for long enough, with their entries in the indexes: the oldest
-- first, one chunk a call. Logs expire by themselves.
-- A: limit, event_retention, log_retention, short = 1 if Redis has no memory for what was cut: it is forgotten at once
-- Returns how many entries of the lists `ended` and `cut` it has worked off.
-- While a jump of TIME is held back (see clock.lua), nothing is forgotten.
if HELD > 0 then return 0 end
local forgotten, records, done = {}, {}, 0
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

-- Forgets an event, unless it has jobs. `early` means that other jobs, which ended before, may still be kept.
local function forget_event(ref, early)
  local key = P .. 'event:' .. ref
  -- A job may have been reopened, or opened later; the event is kept until that has ended and is forgotten.
  if has_jobs(redis.call('GET', key .. ':jobs') or '') then
    if early then later('RPUSH', P .. 'ended', string.format('!%.0f %s', NOW, ref)) end
    return
  end
  local event = event_head(ref)
  if event then
    later('ZREM', P .. 'events:' .. event.scope, ref)
    take_from_resource(event.resource, ref)
  end
  drop(key)
  drop(key .. ':jobs')
  drop(key .. ':progress')
end

-- Forgets the job of an entry, and its event if it ended with it. Returns false if that is too early.
local function forget_job(job, epoch, is_last, latest, early)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'state', 'ended_at', 'epoch', 'lane', 'event', 'attempts')
  -- It was reopened since; its next end has an entry of its own.
  if not j[1] or j[1] == 'pending' or num(j[3]) ~= epoch then return true end
  if num(j[2]) > latest then return false end
  forgotten[job] = true
  drop(key)
  later('ZREM', P .. 'jobs:' .. j[4], job)
  -- The logs of its attempts may be kept for longer. If the job is opened again, their numbers must not be used again;
  -- of a single attempt its log is enough to see.
  if num(j[6]) > 1 then redis.call('SET', P .. 'past:' .. job, j[6], 'PX', A.log_retention) end
  if is_last then forget_event(j[5], early) end
  return true
end

-- Forgets what ended at `latest` or before, of one of the lists.
local function forget_list(list, latest)
  local before = done
  for _, entry in ipairs(redis.call('LRANGE', P .. list, 0, A.limit - done - 1)) do
    local time, ref = string.match(entry, '^!(%d+) (.*)$')
    if time then
      if num(time) > latest then break end
      forget_event(ref)
    else
      local mark, job, epoch = string.match(entry, '^(%+?)([^:]*):?(%d*)$')
      if not forget_job(job, num(epoch), mark == '+', latest, list == 'cut') then break end
    end
    done = done + 1
  end
  if done > before then redis.call('LPOP', P .. list, done - before) end
end

forget_list('cut', A.short == 1 and NOW or NOW - A.event_retention)
if done < A.limit then forget_list('ended', NOW - A.event_retention) end
write_collected()
if #records > 0 then redis.call('UNLINK', unpack(records)) end
return done
