-- needs: hot_events
-- leave_observers: ends a registration of join_observers.
-- A: owner, limit. If no other process is registered, it returns what waits in observe-next, at most `limit` references:
-- nobody else would observe them before a sweep. Call it again while it returns so many.
redis.call('ZREM', P .. 'observers', A.owner)
redis.call('ZREMRANGEBYSCORE', P .. 'observers', '-inf', NOW)
local other = redis.call('ZRANGE', P .. 'observers', -1, -1, 'WITHSCORES')
redis.call('HSET', P .. 'meta', 'observed_until', other[2] or 0)
if other[1] then return {} end
local left = redis.call('LPOP', P .. 'observe-next', A.limit) or {}
for i, entry in ipairs(left) do left[i] = hot_ref(entry) end
return left
