-- failing: lanes whose last attempt failed, those that began to fail last first.
-- A: index (`failing`, or `failing:<scope>`), offset, limit
-- Returns msgpack {total, lanes = [{id scope since attempts why hold circuit open_until}]}.
local index, lanes = P .. A.index, {}
for _, id in ipairs(redis.call('ZREVRANGE', index, A.offset, A.offset + A.limit - 1)) do
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'scope', 'failing_since', 'failing_attempts', 'failing_why', 'hold',
    'circuit', 'circuit_until')
  lanes[#lanes + 1] = { id = id, scope = h[1] or '', since = num(h[2]), attempts = num(h[3]), why = h[4] or '',
                        hold = h[5] or '', circuit = h[6] or '', open_until = num(h[7]) }
end
return cmsgpack.pack({ total = redis.call('ZCARD', index), lanes = lanes })
