-- Versions of a scope's integrations. A worker updates its snapshot by reading the changes since the snapshot's
-- version.

-- Writes and returns the scope's next version; `scope` is the key. It is at least the current time (ms), so if Redis
-- lost or restored data, no older snapshot can have the same version.
local function next_version(scope)
  local known = redis.call('HGET', scope, 'version')
  local version = math.max(num(known) + 1, NOW)
  redis.call('HSET', scope, 'version', version)
  -- A scope may have been known before. A snapshot from that time is read anew.
  if not known then redis.call('HSET', scope, 'floor', version) end
  return version
end

-- The keys of a scope that outlive its last integration.
local function scope_keys(scope) return { scope, scope .. ':changes', scope .. ':gone' } end

-- Lets the keys of a scope expire that has no integration left (A.scope_retention). A snapshot of that scope is read
-- anew if the scope is unknown, and the next version is newer than every older one.
local function expire_scope(scope)
  for _, key in ipairs(scope_keys(scope)) do redis.call('PEXPIRE', key, A.scope_retention) end
end

-- Keeps a scope that has an integration again.
local function keep_scope(scope)
  for _, key in ipairs(scope_keys(scope)) do redis.call('PERSIST', key) end
end
