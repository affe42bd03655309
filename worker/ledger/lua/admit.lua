-- admit: the rate limit of a scope's events, a token bucket (GCRA) that holds as many as one second allows.
-- A: scope, events, rate = events a second
-- Returns 0 if the events are admitted, else the ms to wait. If any allowance is left, a larger request is admitted
-- whole, and the next ones wait longer. Otherwise a request larger than the bucket could never be admitted.
local key = P .. 'intake:' .. A.scope
local used_until = math.max(num(redis.call('GET', key)), NOW)
local wait = used_until - (NOW + 1000)
if wait >= 0 then return math.max(1, math.ceil(wait)) end
used_until = used_until + A.events * 1000 / A.rate
redis.call('SET', key, string.format('%.3f', used_until), 'PX', math.ceil(used_until - NOW) + 1000)
return 0
