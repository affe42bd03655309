-- delete_integration: answers at once; expire cancels what its lane still owes, chunk by chunk.
-- A: id, tombstones
-- Answers 1, or 0 where there was no such integration.
local key = P .. 'integration:' .. A.id
local name = redis.call('HGET', key, 'scope')
if not name then return 0 end
local scope = P .. 'scope:' .. name
local version = next_version(scope)
redis.call('DEL', key)
redis.call('ZREM', scope .. ':list', A.id)
redis.call('ZADD', scope .. ':changes', version, A.id)
redis.call('ZADD', scope .. ':gone', version, A.id)
-- Deletions are remembered for a while, so that a snapshot learns of them; one that is older reloads whole.
if redis.call('ZCARD', scope .. ':gone') > A.tombstones then
  local oldest = redis.call('ZPOPMIN', scope .. ':gone')
  redis.call('ZREM', scope .. ':changes', oldest[1])
  redis.call('HSET', scope, 'floor', oldest[2])
end
redis.call('HSET', P .. 'lane:' .. A.id, 'hold', 'closing')
redis.call('SADD', P .. 'closing', A.id)
reindex(A.id)
return 1
