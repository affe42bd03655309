-- Versions of a scope's integrations: snapshots of workers read what changed since theirs.

-- Returns the scope's next version. It is never one that a snapshot from before a lost or restored Redis may have.
-- `scope` is the key.
local function next_version(scope)
  local version = math.max(num(redis.call('HGET', scope, 'version')) + 1, NOW)
  redis.call('HSET', scope, 'version', version)
  return version
end
