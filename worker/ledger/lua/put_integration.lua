-- needs: change_records, counters, early_retries, event_acceptance, lane_index, receiver_history, scope_versions
-- put_integration: creates or updates one integration with its lane.
-- A: id, scope, doc, enabled, paused, reason, rate (deliveries a second; 0 is no limit)
--    minor    the minor version that a process needs to understand it
--    renewed  1 if its receiver may be a different one now: jobs that wait for a later attempt are due now, jobs in
--             flight are due as soon as they fail, and the history of the old receiver is forgotten
--    expect   the revision it must have; 0 for a new one, -1 for any
--    resealed how often its secrets had been sealed again when it was read; compared if a revision is expected
--    most     the most integrations of one scope; a new one beyond that is refused. 0 is no limit
--    events = [{ref scope}] about the change, grace (see event_acceptance.lua), and its record (see change_records.lua)
-- Returns {its new revision, created_at, updated_at, 1 if its circuit closed}; {the scope's number of integrations} if
-- that has reached `most`; nil if it had another revision than expected, or its secrets were sealed again.
local key = P .. 'integration:' .. A.id
local known = redis.call('HMGET', key, 'revision', 'resealed')
local revision = num(known[1])
if A.expect >= 0 and revision ~= A.expect then return nil end
-- The new document has the secrets as they were read, sealed by a key that may be gone by now.
if A.expect > 0 and num(known[2]) ~= A.resealed then return nil end
if revision == 0 and A.most > 0 then
  local have = redis.call('ZCARD', P .. 'scope:' .. A.scope .. ':list')
  if have >= A.most then return { have } end
end
revision = revision + 1

local function write_integration()
  local scope = P .. 'scope:' .. A.scope
  redis.call('HSET', key, 'scope', A.scope, 'doc', A.doc, 'enabled', A.enabled, 'reason', A.reason,
    'updated_at', NOW, 'revision', revision)
  redis.call('HSETNX', key, 'created_at', NOW)
  redis.call('ZADD', scope .. ':changes', next_version(scope), A.id)
  redis.call('ZADD', scope .. ':list', 'NX', NOW, A.id)
  -- An integration of the same id may have been deleted before.
  redis.call('ZREM', scope .. ':gone', A.id)
  keep_scope(scope)
end

local function write_lane()
  local lane = P .. 'lane:' .. A.id
  redis.call('HSET', lane, 'scope', A.scope, 'rate', A.rate, 'revision', revision,
    'hold', A.enabled == 0 and 'disabled' or A.paused == 1 and 'paused' or '')
  redis.call('HDEL', lane, 'announced', 'announced_until', 'used_until', 'minor')
  if A.minor > 0 then redis.call('HSET', lane, 'minor', A.minor) end
  redis.call('SREM', P .. 'held', A.id)
  redis.call('SREM', P .. 'closing', A.id)
end

write_integration()
write_lane()
local closed = 0
if A.renewed == 1 then
  closed = forget_receiver(A.id)
  redis.call('HSET', P .. 'lane:' .. A.id, 'renewed', revision)
  begin_early_retries(A.id, revision)
  retry_early(A.id)
end
-- The events of this change replace the event that the fleet has disabled it.
redis.call('SREM', P .. 'unannounced', A.id)
reindex(A.id)
accept_events()
record_change()
write_counters()
return { revision, num(redis.call('HGET', key, 'created_at')), NOW, closed }
