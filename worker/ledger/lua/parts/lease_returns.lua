-- needs: counters, due_jobs, job_ends, leases
-- Leases that are given back before an attempt began.

-- A leased job that was never begun is due now, and the number of its attempt is un-issued. Returns false where the job
-- is not leased to that owner by that attempt any more.
local function give_back(job, owner, attempt)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'owner', 'attempts', 'done', 'event', 'size', 'lane')
  local lane = j[6]
  if j[1] ~= owner or num(j[2]) ~= attempt then return false end
  redis.call('HSET', key, 'attempts', attempt - 1, 'owner', '')
  count('attempts', -1)
  unlease(job, lane, owner)
  if j[3] then
    -- An earlier attempt turned out to have succeeded meanwhile.
    touch(lane)
    end_job(job, j[4], 'succeeded', '')
  else
    make_due(job, lane, NOW, j[5])
  end
  return true
end
