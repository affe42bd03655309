-- reseal: the same integration with its secrets sealed by another key: no change that anybody could see.
-- A: id, before, after   (documents)
-- Answers 1, or 0 where the integration is not of that document any more.
local key = P .. 'integration:' .. A.id
if redis.call('HGET', key, 'doc') ~= A.before then return 0 end
redis.call('HSET', key, 'doc', A.after)
return 1
