-- admit: a store's allowance of events, a token bucket (GCRA) that holds one second's worth.
-- A: scope, events, rate = events a second
-- Returns 0 where they may come, or in how many ms they may. A request that is larger than what is left is let in
-- whole, and the next ones wait for what it has overdrawn: else one larger than the bucket could never come.
local key = P .. 'intake:' .. A.scope
local used_until = math.max(num(redis.call('GET', key)), NOW)
local wait = used_until - (NOW + 1000)
if wait >= 0 then return math.max(1, math.ceil(wait)) end
used_until = used_until + A.events * 1000 / A.rate
redis.call('SET', key, string.format('%.3f', used_until), 'PX', math.ceil(used_until - NOW) + 1000)
return 0
