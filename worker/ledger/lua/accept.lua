-- accept: events into the inbox, each once.
-- A: events = [{ref id type scope raw digest}], grace
-- Answers an array, one for each event: 0 new, 1 a duplicate, 2 a duplicate with other content.
local answers = {}
for i, e in ipairs(A.events) do
  local key = P .. 'event:' .. e.ref
  local digest = redis.call('HGET', key, 'digest')
  if digest then
    count('duplicates')
    answers[i] = digest == e.digest and 1 or 2
  else
    -- Of an event that a store lost, a late settlement may have left a stub that is about to expire.
    redis.call('DEL', key)
    redis.call('HSET', key, 'id', e.id, 'type', e.type, 'scope', e.scope,
      'raw', e.raw, 'digest', e.digest, 'accepted_at', NOW, 'open', 0)
    redis.call('ZADD', P .. 'inbox', NOW + A.grace, e.ref)
    count('accepted')
    answers[i] = 0
  end
end
write_counts()
return answers
