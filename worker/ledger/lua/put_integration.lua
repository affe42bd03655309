-- put_integration: creates or updates one integration with its lane.
-- A: id, scope, doc, enabled, reason, cap, expect   (expect: the revision it must have; 0 for a new one, -1 for any)
--    events = [{ref id type scope raw digest}] that tell of the change, grace, horizon
-- Answers {its new revision, created_at, updated_at}, or nil where it had another revision than expected.
local key = P .. 'integration:' .. A.id
local revision = num(redis.call('HGET', key, 'revision'))
if A.expect >= 0 and revision ~= A.expect then return nil end
revision = revision + 1
local scope = P .. 'scope:' .. A.scope
local version = next_version(scope)
redis.call('HSET', key, 'scope', A.scope, 'doc', A.doc, 'enabled', A.enabled, 'reason', A.reason,
  'updated_at', NOW, 'revision', revision)
redis.call('HSETNX', key, 'created_at', NOW)
redis.call('ZADD', scope .. ':changes', version, A.id)
redis.call('ZADD', scope .. ':list', 'NX', NOW, A.id)
-- A changed configuration ends a rest that the old one earned, and closes its circuit.
redis.call('HSET', P .. 'lane:' .. A.id, 'scope', A.scope, 'cap', A.cap, 'revision', revision,
  'hold', A.enabled == 1 and '' or 'disabled')
redis.call('HDEL', P .. 'lane:' .. A.id, 'rest_until', 'announced', 'announced_until', 'circuit', 'circuit_until', 'trips',
  'failures', 'window_from', 'window_all', 'window_failed')
redis.call('SREM', P .. 'held', A.id)
-- It may have lived before, under the same id.
redis.call('SREM', P .. 'closing', A.id)
redis.call('ZREM', scope .. ':gone', A.id)
redis.call('PERSIST', P .. 'jobs:' .. A.id)
reindex(A.id)
for _, e in ipairs(A.events) do accept_event(e) end
write_counts()
return { revision, num(redis.call('HGET', key, 'created_at')), NOW }
