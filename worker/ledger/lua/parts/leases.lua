-- needs: collected_writes
-- Leases of jobs, and of the processes that hold them (owners).

local function lease(job, lane, owner)
  later('SADD', P .. 'lane:' .. lane .. ':leased', job)
  later('SADD', P .. 'owner:' .. owner .. ':leases', job)
end

local function unlease(job, lane, owner)
  later('SREM', P .. 'lane:' .. lane .. ':leased', job)
  later('SREM', P .. 'owner:' .. owner .. ':leases', job)
end

-- Extends the lease of a process by A.lease. A process that holds leases of jobs must be among the owners, or no sweep
-- would ever take them over.
local function renew(owner)
  redis.call('ZADD', P .. 'owners', 'GT', NOW + A.lease, owner)
end
