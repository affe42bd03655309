-- needs: leases
-- renew: writes a process's heartbeat.
-- A: owner, lease, home (of the process, '' if it is not known: see process_identity.py)
-- Returns 1 if the process was still known, 0 if it was new or had been taken for dead.
local known = redis.call('ZSCORE', P .. 'owners', A.owner)
renew(A.owner)
if A.home ~= '' then
  redis.call('SADD', P .. 'home:' .. A.home, A.owner)
  -- By then, every lease has run out.
  redis.call('PEXPIRE', P .. 'home:' .. A.home, A.lease * 10)
end
return known and 1 or 0
