-- disable: holds an integration's lane and records why; what is owed stays owed.
-- A: id, reason
-- Answers its revision, or -1 where there is no such integration.
disable(A.id, A.reason)
reindex_touched()
return num(redis.call('HGET', P .. 'integration:' .. A.id, 'revision') or -1)
