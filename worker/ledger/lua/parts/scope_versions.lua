-- Versions of a scope's integrations. A worker updates its snapshot by reading the changes since the snapshot's
-- version.

-- Writes and returns the scope's next version; `scope` is the key. It is at least the current time (ms), so if Redis
-- lost or restored data, no older snapshot can have the same version.
local function next_version(scope)
  local version = math.max(num(redis.call('HGET', scope, 'version')) + 1, NOW)
  redis.call('HSET', scope, 'version', version)
  return version
end
