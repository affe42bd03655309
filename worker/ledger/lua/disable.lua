-- disable: holds an integration's lane and records why; what is owed stays owed.
-- A: id, reason
-- Answers its new revision, or -1 where there is no such integration.
local key = P .. 'integration:' .. A.id
local scope = redis.call('HGET', key, 'scope')
if not scope then return -1 end
if redis.call('HGET', key, 'enabled') == '0' then return num(redis.call('HGET', key, 'revision')) end
local revision = redis.call('HINCRBY', key, 'revision', 1)
local version = next_version(P .. 'scope:' .. scope)
redis.call('HSET', key, 'enabled', 0, 'reason', A.reason, 'updated_at', NOW)
redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', version, A.id)
redis.call('HSET', P .. 'lane:' .. A.id, 'hold', 'disabled', 'revision', revision)
reindex(A.id)
return revision
