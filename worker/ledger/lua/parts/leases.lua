-- Leases of jobs, and of the processes that hold them (owners).

local function lease(job, lane, owner)
  redis.call('SADD', P .. 'lane:' .. lane .. ':leased', job)
  redis.call('SADD', P .. 'owner:' .. owner .. ':leases', job)
end

local function unlease(job, lane, owner)
  redis.call('SREM', P .. 'lane:' .. lane .. ':leased', job)
  redis.call('SREM', P .. 'owner:' .. owner .. ':leases', job)
end

-- Extends the lease of a process by A.lease. A process that holds leases of jobs must be among the owners, or no sweep
-- would ever take them over.
local function renew(owner)
  redis.call('ZADD', P .. 'owners', 'GT', NOW + A.lease, owner)
end
