-- audit_owner: checks that the jobs that are leased to a process name it, and that the process is in the list `owners`.
-- Only from that list does a sweep take over the leases of a dead process.
-- A: owner, jobs = [members of its leases], repair = 0 | 1
-- Returns msgpack {problems = [{kind, job or owner}]}; with repair each problem is repaired.
local problems = {}
local leases = P .. 'owner:' .. A.owner .. ':leases'
for _, job in ipairs(A.jobs) do
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'owner')
  if (j[1] ~= 'pending' or j[2] ~= A.owner) and redis.call('SISMEMBER', leases, job) == 1 then
    problems[#problems + 1] = { 'lease_of_another', job }
    if A.repair == 1 then redis.call('SREM', leases, job) end
  end
end
if redis.call('EXISTS', leases) == 1 and not redis.call('ZSCORE', P .. 'owners', A.owner) then
  problems[#problems + 1] = { 'owner_not_reaped', A.owner }
  if A.repair == 1 then redis.call('ZADD', P .. 'owners', 1, A.owner) end
end
return cmsgpack.pack({ problems = problems })
