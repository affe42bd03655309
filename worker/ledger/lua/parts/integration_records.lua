-- needs: hashes
-- Integrations, as the API shows them.

-- Returns an integration's record with the circuit and failures of its lane; nil if it does not exist.
local function integration_record(id)
  local row = hash(P .. 'integration:' .. id)
  if not row then return nil end
  local lane = redis.call('HMGET', P .. 'lane:' .. id, 'circuit', 'circuit_until', 'failing_since', 'failing_attempts')
  row.circuit, row.circuit_until = lane[1] or '', lane[2] or '0'
  row.failing_since, row.failing_attempts = lane[3] or '0', lane[4] or '0'
  return { id = id, row = row }
end

-- Returns the scope of an integration, or '' if it does not exist.
local function scope_of(id)
  return redis.call('HGET', P .. 'integration:' .. id, 'scope') or ''
end
