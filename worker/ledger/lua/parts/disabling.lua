-- needs: lane_index, scope_versions
-- Integrations that the fleet disables.

-- Disables an integration, holds its lane and records the reason; its pending jobs stay pending.
local function disable(id, reason)
  local key = P .. 'integration:' .. id
  local scope = redis.call('HGET', key, 'scope')
  if not scope or redis.call('HGET', key, 'enabled') == '0' then return end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  redis.call('HSET', key, 'enabled', 0, 'reason', reason, 'updated_at', NOW)
  redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', next_version(P .. 'scope:' .. scope), id)
  change_lane(id, { hold = 'disabled', revision = revision })
  -- This is the outbox: the next sweep finds the integration there and publishes an event (announce_disabled).
  redis.call('SADD', P .. 'unannounced', id)
  touch(id)
end
