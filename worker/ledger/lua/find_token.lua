-- find_token: a token, client or bearer.
-- A: id
-- Returns its hash, names and values in turn; nothing where there is none, or where it is the bearer of no client.
local key = P .. 'token:' .. A.id
local parent = redis.call('HGET', key, 'parent')
-- Revoking a client deletes its bearers; one that a restored Redis brought back is refused all the same.
if parent and redis.call('EXISTS', P .. 'token:' .. parent) == 0 then return {} end
return redis.call('HGETALL', key)
