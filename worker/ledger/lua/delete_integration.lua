-- needs: change_records, event_acceptance, failing_index, lane_index, scope_versions
-- delete_integration: deletes an integration at once; expire cancels the pending jobs of its lane, chunk by chunk.
-- A: id, tombstones, scope_retention (ms), expect (the revision it must have; -1 for any)
--    events = [{ref scope}] about the change, grace (see event_acceptance.lua), and its record (see change_records.lua)
-- Returns 1; 0 if there was no such integration; -1 if it had another revision than expected.
local key = P .. 'integration:' .. A.id
local found = redis.call('HMGET', key, 'scope', 'revision')
local name = found[1]
if not name then return 0 end
if A.expect >= 0 and num(found[2]) ~= A.expect then return -1 end
local scope = P .. 'scope:' .. name
local version = next_version(scope)
redis.call('DEL', key, P .. 'exchanges:' .. A.id)
redis.call('ZREM', scope .. ':list', A.id)
redis.call('ZADD', scope .. ':changes', version, A.id)
redis.call('ZADD', scope .. ':gone', version, A.id)
-- The scope remembers its latest deletions, so that snapshots can be updated; an older snapshot is reloaded whole.
if redis.call('ZCARD', scope .. ':gone') > A.tombstones then
  local oldest = redis.call('ZPOPMIN', scope .. ':gone')
  redis.call('ZREM', scope .. ':changes', oldest[1])
  redis.call('HSET', scope, 'floor', oldest[2])
end
-- Without an integration the scope need not be known for long.
if redis.call('EXISTS', scope .. ':list') == 0 then expire_scope(scope) end
redis.call('HSET', P .. 'lane:' .. A.id, 'hold', 'closing')
redis.call('SADD', P .. 'closing', A.id)
redis.call('SREM', P .. 'unannounced', A.id)
redis.call('ZREM', P .. 'exhausted', A.id)
unlist_failing(A.id, name)
reindex(A.id)
accept_events()
record_change()
write_counters()
return 1
