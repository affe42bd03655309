-- standings: what the fleet knows of lanes.
-- A: lanes
-- Returns msgpack [[lane, scope, failing (1 if its last attempt failed, in any process, else 0)]] of those that exist.
local found = {}
for _, id in ipairs(A.lanes) do
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'scope', 'failing_since')
  if h[1] then found[#found + 1] = { id, h[1], h[2] and 1 or 0 } end
end
return cmsgpack.pack(found)
