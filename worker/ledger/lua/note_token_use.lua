-- note_token_use: notes that a token or client is in use, unless it has been revoked.
-- A: id
-- Returns 1; 0 if it does not exist.
local key = P .. 'token:' .. A.id
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'used_at', NOW)
return 1
