-- needs: lane_index, scope_versions
-- Integrations that the fleet disables.

-- Holds an integration's lane and records why; its pending jobs stay owed.
local function disable(id, reason)
  local key = P .. 'integration:' .. id
  local scope = redis.call('HGET', key, 'scope')
  if not scope or redis.call('HGET', key, 'enabled') == '0' then return end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  redis.call('HSET', key, 'enabled', 0, 'reason', reason, 'updated_at', NOW)
  redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', next_version(P .. 'scope:' .. scope), id)
  redis.call('HSET', P .. 'lane:' .. id, 'hold', 'disabled', 'revision', revision)
  -- The next sweep finds it there and publishes an event of it (announce_disabled).
  redis.call('SADD', P .. 'untold', id)
  touch(id)
end
