-- needs: leases
-- renew: a process's heartbeat.
-- A: owner, lease
-- Returns 1 where the process was still known, 0 where it was new or had been taken for dead.
local known = redis.call('ZSCORE', P .. 'owners', A.owner)
renew(A.owner)
return known and 1 or 0
