-- put_integration: creates or updates one integration with its lane.
-- A: id, scope, doc, enabled, paused, reason, cap, rate (deliveries a second; 0 for any number)
--    renewed = 1 where its receiver may be another now: what waits for a later attempt is due now, what is in flight is
--    as soon as it fails, and what the old one earned is over
--    expect   the revision it must have; 0 for a new one, -1 for any
--    resealed how often its secrets had been sealed anew when it was read; compared where a revision is expected
--    most     integrations of one scope; a new one beyond that is refused. 0 for any number
--    events = [{ref id type scope raw digest}] that tell of the change, door, grace, horizon
-- Answers {its new revision, created_at, updated_at, 1 where its circuit closed}; {how many its scope has} where that is
-- as many as there may be; or nil where it had another revision than expected, or was sealed anew.
local key = P .. 'integration:' .. A.id
local known = redis.call('HMGET', key, 'revision', 'resealed')
local revision = num(known[1])
if A.expect >= 0 and revision ~= A.expect then return nil end
-- The document to be written has the secrets as they were read: sealed by a key that may be gone by now.
if A.expect > 0 and num(known[2]) ~= A.resealed then return nil end
local scope = P .. 'scope:' .. A.scope
if revision == 0 and A.most > 0 then
  local have = redis.call('ZCARD', scope .. ':list')
  if have >= A.most then return { have } end
end
revision = revision + 1
local version = next_version(scope)
redis.call('HSET', key, 'scope', A.scope, 'doc', A.doc, 'enabled', A.enabled, 'reason', A.reason,
  'updated_at', NOW, 'revision', revision)
redis.call('HSETNX', key, 'created_at', NOW)
redis.call('ZADD', scope .. ':changes', version, A.id)
redis.call('ZADD', scope .. ':list', 'NX', NOW, A.id)
local lane = P .. 'lane:' .. A.id
redis.call('HSET', lane, 'scope', A.scope, 'cap', A.cap, 'rate', A.rate, 'revision', revision,
  'hold', A.enabled == 0 and 'disabled' or A.paused == 1 and 'paused' or '')
redis.call('HDEL', lane, 'announced', 'announced_until', 'used_until')
local closed = 0
if A.renewed == 1 then
  if (redis.call('HGET', lane, 'circuit') or '') ~= '' then
    closed = 1
    count('circuits_closed')
  end
  redis.call('HDEL', lane, unpack(EARNED))
  redis.call('HSET', lane, 'renewed', revision, 'hasten', revision, 'hasten_from', NOW)
  redis.call('SADD', P .. 'hastening', A.id)
  hasten(A.id)
end
redis.call('SREM', P .. 'held', A.id)
-- It may have lived before, under the same id.
redis.call('SREM', P .. 'closing', A.id)
-- The event of this change tells more.
redis.call('SREM', P .. 'untold', A.id)
redis.call('ZREM', scope .. ':gone', A.id)
redis.call('PERSIST', P .. 'jobs:' .. A.id)
reindex(A.id)
for _, e in ipairs(A.events) do accept_event(e) end
write_counts()
return { revision, num(redis.call('HGET', key, 'created_at')), NOW, closed }
