-- needs: change_records
-- put_token: writes a token or client, which is kept until it is revoked.
-- A: id, fields = {kind role org store platform name digest}, and the record of the change (see change_records.lua)
-- Returns the time when it was first written.
local key = P .. 'token:' .. A.id
for field, value in pairs(A.fields) do redis.call('HSET', key, field, value) end
-- A caller whose reply was lost repeats the call; the change is recorded once.
if redis.call('HSETNX', key, 'created_at', NOW) == 1 then record_change() end
redis.call('ZADD', P .. 'tokens', 'NX', NOW, A.id)
return num(redis.call('HGET', key, 'created_at'))
