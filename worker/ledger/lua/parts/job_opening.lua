-- needs: collected_writes, counters, due_jobs, event_jobs, leases
-- The opening of jobs.

-- Returns whether the event has that job, and whether the job is left from an earlier event of the same id, whose
-- record Redis has lost.
local function has_job(id, ref)
  local state = redis.call('HGET', P .. 'job:' .. id, 'state')
  if not state then return false, false end
  local had = state == 'pending' or listed(id, ref) ~= nil
  return had, not had
end

-- Returns whether any of the jobs has a record, or logs of attempts that were made before its record was forgotten.
local function are_known(ids)
  local keys = {}
  for _, id in ipairs(ids) do
    keys[#keys + 1] = P .. 'job:' .. id
    keys[#keys + 1] = P .. 'past:' .. id
    keys[#keys + 1] = P .. 'log:' .. id .. ':1'
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

-- Returns how many attempts a job had before, when an event of the same id was delivered; nil if it had none. Their logs
-- may still exist.
local function attempts_before(id)
  local attempts = redis.call('HGET', P .. 'job:' .. id, 'attempts') or redis.call('GET', P .. 'past:' .. id)
  if attempts then return num(attempts) end
  return redis.call('EXISTS', P .. 'log:' .. id .. ':1') == 1 and 1 or nil
end

-- Adds a job to the list of its lane. This and list_of_event() come first: if a list is damaged, the script fails before
-- the job is pending, and the event is tried again. The first job shows that a list is sound; the others are collected.
local sound_lists = {}
local function list_of_lane(id, lane)
  local key = P .. 'jobs:' .. lane
  if sound_lists[lane] then return later('ZADD', key, NOW, id) end
  redis.call('ZADD', key, NOW, id)
  sound_lists[lane] = true
end

-- Adds jobs to the list of their event, and counts them as pending.
local function list_of_event(ref, ids)
  for _, id in ipairs(ids) do
    if #id ~= ID_BYTES then error(string.format('a job id of %d bytes was expected: %s', ID_BYTES, id), 0) end
  end
  list_jobs(ref, ids)
  redis.call('HINCRBY', P .. 'event:' .. ref .. ':progress', 'open', #ids)
end

-- Opens a listed job of an event, e = {ref size minor trace?}. With an owner it is leased to it (by A.call) for the first
-- attempt, else it is due now. If its event was delivered before, `before` is the number of attempts then. Then there is
-- no owner, and the numbers of its attempts continue as after a redelivery.
local function open_job(id, e, lane, owner, before)
  local key = P .. 'job:' .. id
  local fields = { 'event', e.ref, 'lane', lane, 'size', e.size, 'state', 'pending',
                   'attempts', owner and 1 or before or 0, 'opened_at', NOW, 'deadline', NOW + A.deadline }
  local function add(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if before then
    local epoch = num(redis.call('HGET', key, 'epoch'))
    redis.call('DEL', key)
    add('base', before)
    add('epoch', epoch + 1)
  end
  if owner then
    add('owner', owner)
    add('call', A.call)
  end
  if e.trace then add('trace', e.trace) end
  if e.minor > 0 then add('minor', e.minor) end
  redis.call('HSET', key, unpack(fields))
  later('ZADD', P .. 'pending', NOW + A.deadline, id)
  count('opened')
  if owner then lease(id, lane, owner) else add_due(id, lane, NOW, e.size) end
end
