-- issue_bearer: writes a bearer of a client, or a session or link of a token. It expires by itself; the oldest of too
-- many are deleted.
-- A: id, parent (the client or token), kind (which the parent must be; '' for any), lifetime, most
--    fields = {kind role org store platform name digest [operator]}
--    link    the one-time link that a session uses up; '' for none
-- Returns 1, or 0 if the parent or the link does not exist any more.
local kind = redis.call('HGET', P .. 'token:' .. A.parent, 'kind')
if not kind or (A.kind ~= '' and kind ~= A.kind) then return 0 end
local bearers = P .. 'client:' .. A.parent .. ':bearers'
if A.link ~= '' then
  if redis.call('DEL', P .. 'token:' .. A.link) == 0 then return 0 end
  redis.call('ZREM', bearers, A.link)
end
redis.call('ZREMRANGEBYSCORE', bearers, '-inf', NOW)
-- The oldest are deleted before the new one is written: if both expire in the same ms, the new one might be deleted.
local surplus = redis.call('ZCARD', bearers) - A.most + 1
if surplus > 0 then
  local oldest = redis.call('ZPOPMIN', bearers, surplus)
  for i = 1, #oldest, 2 do redis.call('DEL', P .. 'token:' .. oldest[i]) end
end
local key, ends = P .. 'token:' .. A.id, NOW + A.lifetime
for field, value in pairs(A.fields) do redis.call('HSET', key, field, value) end
redis.call('HSET', key, 'parent', A.parent, 'created_at', NOW, 'expires_at', ends)
-- Not PEXPIREAT: Redis's own clock, by which keys expire, may differ from the ledger's.
redis.call('PEXPIRE', key, A.lifetime)
redis.call('ZADD', bearers, ends, A.id)
-- The list expires with its last bearer and no sooner, because revoking the client needs it.
redis.call('PEXPIRE', bearers, redis.call('ZRANGE', bearers, -1, -1, 'WITHSCORES')[2] - NOW)
return 1
