-- needs: leases
-- renew: writes a process's heartbeat.
-- A: owner, lease
-- Returns 1 if the process was still known, 0 if it was new or had been taken for dead.
local known = redis.call('ZSCORE', P .. 'owners', A.owner)
renew(A.owner)
return known and 1 or 0
