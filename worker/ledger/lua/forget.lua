-- needs: collected_writes, event_jobs, event_records, resource_events
-- forget: deletes ended jobs and events that were kept for long enough, with their entries in the indexes: the oldest
-- first, one chunk a call. Logs expire by themselves.
-- A: limit, event_retention, log_retention
-- Returns how many entries of the list `ended` it has worked off.
-- While a jump of TIME is held back (see clock.lua), nothing is forgotten.
if HELD > 0 then return 0 end
local latest = NOW - A.event_retention
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

local function forget_event(ref)
  local key = P .. 'event:' .. ref
  -- A job may have been reopened, or opened later; the event is kept until that has ended and is forgotten.
  if has_jobs(redis.call('GET', key .. ':jobs') or '') then return end
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
local function forget_job(job, epoch, is_last)
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
  if is_last then forget_event(j[5]) end
  return true
end

for _, entry in ipairs(redis.call('LRANGE', P .. 'ended', 0, A.limit - 1)) do
  local time, ref = string.match(entry, '^!(%d+) (.*)$')
  if time then
    if num(time) > latest then break end
    forget_event(ref)
  else
    local mark, job, epoch = string.match(entry, '^(%+?)([^:]*):?(%d*)$')
    if not forget_job(job, num(epoch), mark == '+') then break end
  end
  done = done + 1
end
if done > 0 then redis.call('LPOP', P .. 'ended', done) end
write_collected()
if #records > 0 then redis.call('UNLINK', unpack(records)) end
return done
