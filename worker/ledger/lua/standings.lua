-- needs: activity_records
-- standings: what the fleet knows of lanes.
-- A: lanes
-- Returns msgpack [[lane, scope, did_well]] of those that exist; did_well is 0 if its last attempt failed, in any process, 1 if
-- its attempts did well lately (activity_records.lua), and -1 if neither is known.
local found = {}
for _, id in ipairs(A.lanes) do
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'scope', 'failing_since')
  if h[1] then found[#found + 1] = { id, h[1], h[2] and 0 or did_well_lately(id) and 1 or -1 } end
end
return cmsgpack.pack(found)
