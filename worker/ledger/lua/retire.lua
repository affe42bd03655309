-- retire: removes a process from the list of owners once it has settled or given back all its jobs.
-- A: owner, home
-- Returns the number of its leases. If there are any, it stays in the list, and a sweep takes them over.
local left = redis.call('SCARD', P .. 'owner:' .. A.owner .. ':leases')
if left == 0 then
  redis.call('ZREM', P .. 'owners', A.owner)
  redis.call('SREM', P .. 'home:' .. A.home, A.owner)
end
return left
