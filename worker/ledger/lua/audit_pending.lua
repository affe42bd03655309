-- needs: due_jobs, leases
-- audit_pending: checks that each pending job is in exactly one of due and leased (invariant 6), and that a process in
-- the list `owners` has the leased ones.
-- A: jobs, repair = 0 | 1
-- Returns msgpack {problems = [{kind, job}]}; with repair each problem is repaired. If no process has a job's attempt,
-- a sweep settles the attempt as lost, so that it gets its log. For this the job is leased to its owner, or to the name
-- `doctor`, whose lease has run out.
local DOCTOR = 'doctor'
local problems = {}

local function hand_to_reaper(job, lane, owner)
  local heir = owner ~= '' and owner or DOCTOR
  redis.call('HSET', P .. 'job:' .. job, 'owner', heir)
  lease(job, lane, heir)
  redis.call('ZADD', P .. 'owners', 'NX', 1, heir)
  touch(lane)
end

local function problem_of(job)
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'lane', 'owner', 'size')
  local state, lane, owner = j[1], j[2], j[3] or ''
  local forget = function() redis.call('ZREM', P .. 'pending', job) end
  if not redis.call('ZSCORE', P .. 'pending', job) then return nil end
  if not state then return 'no_record', forget end
  if state ~= 'pending' then return 'ended', forget end
  local due = redis.call('ZSCORE', P .. 'lane:' .. lane .. ':due', job)
  local leased = redis.call('SISMEMBER', P .. 'lane:' .. lane .. ':leased', job) == 1
  if due and leased then
    return 'due_and_leased', function()
      take_due(job, lane, j[4])
      hand_to_reaper(job, lane, owner)
    end
  end
  if due then
    return owner ~= '' and 'due_and_owned', function() redis.call('HSET', P .. 'job:' .. job, 'owner', '') end
  end
  if not leased and owner == '' then
    return 'nowhere', function() make_due(job, lane, NOW, j[4]) end
  end
  local known = owner ~= '' and redis.call('SISMEMBER', P .. 'owner:' .. owner .. ':leases', job) == 1
    and redis.call('ZSCORE', P .. 'owners', owner)
  if not leased or not known then
    return 'leased_to_nobody', function() hand_to_reaper(job, lane, owner) end
  end
end

for _, job in ipairs(A.jobs) do
  local kind, mend = problem_of(job)
  if kind then
    problems[#problems + 1] = { kind, job }
    if A.repair == 1 then mend() end
  end
end
write_lanes()
return cmsgpack.pack({ problems = problems })
