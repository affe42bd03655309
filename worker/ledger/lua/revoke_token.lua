-- needs: change_records
-- revoke_token: deletes a token or bearer, or a client with all its bearers (issue_bearer bounds their number).
-- A: id, and the record of the change (see change_records.lua)
-- Returns 1, or 0 if there was none.
local key = P .. 'token:' .. A.id
local parent = redis.call('HGET', key, 'parent')
local bearers = P .. 'client:' .. A.id .. ':bearers'
for _, bearer in ipairs(redis.call('ZRANGE', bearers, 0, -1)) do redis.call('DEL', P .. 'token:' .. bearer) end
redis.call('DEL', bearers)
redis.call('ZREM', P .. 'tokens', A.id)
if parent then redis.call('ZREM', P .. 'client:' .. parent .. ':bearers', A.id) end
local deleted = redis.call('DEL', key)
if deleted == 1 then record_change() end
return deleted
