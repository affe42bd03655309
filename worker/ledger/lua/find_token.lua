-- find_token: reads a token, client or bearer.
-- A: id
-- Returns its hash, names and values in turn; nothing if it does not exist, or if it is a bearer whose client is gone.
local key = P .. 'token:' .. A.id
local parent = redis.call('HGET', key, 'parent')
-- Revoking a client deletes its bearers. A bearer that came back with a restored Redis is refused all the same.
if parent and redis.call('EXISTS', P .. 'token:' .. parent) == 0 then return {} end
return redis.call('HGETALL', key)
