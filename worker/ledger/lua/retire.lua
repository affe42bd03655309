-- retire: a process that has settled or given back all it had leaves the list of owners.
-- A: owner
-- Returns how many leases it still has; then it stays, and is reaped.
local left = redis.call('SCARD', P .. 'owner:' .. A.owner .. ':leases')
if left == 0 then redis.call('ZREM', P .. 'owners', A.owner) end
return left
