-- archive_lease: leases the outbox of the history to a process, so that one process archives at a time.
-- A: owner, lease (ms), known = how long the identities of forgotten events are remembered (ms), leaving = 1 to give the lease back
-- Returns 1 if the process has the lease now.
-- `archived_at` of `meta` shows other processes that a history is in use: they forget nothing that is not archived.
local key = P .. 'archiver'
local holder = redis.call('GET', key)
if A.leaving == 1 then
  if holder == A.owner then redis.call('DEL', key) end
  return 0
end
if not holder or holder == A.owner then
  redis.call('SET', key, A.owner, 'PX', A.lease)
  holder = A.owner
end
redis.call('HSET', P .. 'meta', 'archived_at', NOW, 'known', A.known)
return holder == A.owner and 1 or 0
