-- needs: counters, due_jobs, job_ends, leases
-- Leases that are given back before their attempt began.

-- Makes a leased job due now whose attempt never began, and takes the attempt's number back. Returns false if the job
-- is no longer leased to that owner for that attempt by that call. The number of an attempt that was taken back is
-- issued again, also to the same owner; only the call shows that it is another lease.
local function give_back(job, owner, attempt, call)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'owner', 'attempts', 'done', 'event', 'size', 'lane', 'epoch', 'call')
  local lane = j[6]
  if j[1] ~= owner or num(j[2]) ~= attempt or num(j[8]) ~= call then return false end
  redis.call('HSET', key, 'attempts', attempt - 1, 'owner', '')
  count('attempts', -1)
  unlease(job, lane, owner)
  if j[3] then
    -- Meanwhile an earlier attempt was reported as a success.
    touch(lane)
    end_job(job, j[4], 'succeeded', '', j[7])
  elseif redis.call('HGET', key, 'erased') then
    touch(lane)
    end_job(job, j[4], 'cancelled', 'erased', j[7])
  else
    make_due(job, lane, NOW, j[5])
  end
  return true
end
