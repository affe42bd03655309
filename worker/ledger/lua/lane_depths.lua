-- lane_depths: how many jobs each of some lanes has, and since when its oldest due job is due.
-- A: ids
-- Returns msgpack [[due, leased, due time of the oldest due job (ms; 0 without one)]], in the order of the ids.
local found = {}
for i, id in ipairs(A.ids) do
  local due, first = P .. 'lane:' .. id .. ':due', nil
  local count = redis.call('ZCARD', due)
  if count > 0 then first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] end
  found[i] = { count, redis.call('SCARD', P .. 'lane:' .. id .. ':leased'), num(first) }
end
return cmsgpack.pack(found)
