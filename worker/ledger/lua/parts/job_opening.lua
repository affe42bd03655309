-- needs: counters, due_jobs, leases
-- The opening of jobs.

-- Returns whether the event of that acceptance has the job, and whether the job is left from an earlier event of the
-- same id. Each record expires on its own, so a job may outlive its event. The number of the acceptance distinguishes
-- the two; times do not, because clocks step.
local function has_job(id, acceptance)
  local j = redis.call('HMGET', P .. 'job:' .. id, 'state', 'acceptance')
  if not j[1] then return false, false end
  local had = j[1] == 'pending' or num(j[2]) == acceptance
  return had, not had
end

-- Opens a job of an event, e = {ref size acceptance minor}. With an owner it is leased to it (by A.call) for the first attempt, else it
-- is due now. A job may be left from an earlier event; then there is no owner, and the numbers of its attempts continue
-- as after a redelivery, because its logs may still exist.
local function open_job(id, e, lane, owner)
  local ref, size = e.ref, e.size
  local left = owner and {} or redis.call('HMGET', P .. 'job:' .. id, 'attempts', 'epoch')
  local base = num(left[1])
  if left[2] then redis.call('DEL', P .. 'job:' .. id) end
  -- The indexes come first: if one is damaged, the script fails before the job is pending, and the event is tried
  -- again.
  redis.call('ZADD', P .. 'jobs:' .. lane, NOW, id)
  redis.call('RPUSH', P .. 'event:' .. ref .. ':jobs', id)
  redis.call('HSET', P .. 'job:' .. id, 'event', ref, 'lane', lane, 'size', size, 'state', 'pending',
    'attempts', owner and 1 or base, 'base', base, 'epoch', left[2] and num(left[2]) + 1 or 0, 'lost', 0,
    'owner', owner or '', 'call', owner and A.call or 0, 'opened_at', NOW, 'deadline', NOW + A.deadline,
    'acceptance', e.acceptance)
  if e.minor > 0 then redis.call('HSET', P .. 'job:' .. id, 'minor', e.minor) end
  redis.call('ZADD', P .. 'pending', NOW + A.deadline, id)
  redis.call('HINCRBY', P .. 'event:' .. ref, 'open', 1)
  count('opened')
  if owner then lease(id, lane, owner) else make_due(id, lane, NOW, size) end
end
