-- audit_owner: whether leases of a process are of jobs that name it, and whether it is among those that are reaped.
-- A: owner, jobs = [members of its leases], repair = 0 | 1
-- Returns msgpack {problems = [{kind, job or owner}]}; with repair each is mended.
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
