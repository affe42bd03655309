-- needs: lane_index, notices, scope_versions
-- Integrations that the fleet disables.

-- Disables an integration, holds its lane and records the reason; its pending jobs stay pending. With `quiet`, no
-- lifecycle event warns of it.
local function disable(id, reason, quiet)
  local key = P .. 'integration:' .. id
  local scope = redis.call('HGET', key, 'scope')
  if not scope or redis.call('HGET', key, 'enabled') == '0' then return end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  redis.call('HSET', key, 'enabled', 0, 'reason', reason, 'updated_at', NOW)
  redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', next_version(P .. 'scope:' .. scope), id)
  change_lane(id, { hold = 'disabled', revision = revision })
  -- This is the outbox: the next sweep finds the integration there and publishes an event (announce_disabled).
  redis.call('SADD', P .. 'unannounced', id)
  if not quiet then
    local h = lane_record(id)
    note_transition('disabled', id, { why = cut(reason), since = num(h.failing_since), attempts = num(h.failing_attempts) })
    change_lane(id, { trouble = h.trouble or NOW })
  end
  touch(id)
end
