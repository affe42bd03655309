-- needs: counters
-- The acceptance of events into the inbox.

-- Puts an event into the inbox, once: e = {ref id type scope raw digest trace?}. A.grace is how long (ms) until a sweep
-- announces it, A.horizon how long an event can be known at most. Returns 0 for a new event, 1 for a duplicate, 2 for a
-- duplicate with other content.
local function accept_event(e)
  local key = P .. 'event:' .. e.ref
  local digest = redis.call('HGET', key, 'digest')
  if digest then
    count('duplicates')
    return digest == e.digest and 1 or 2
  end
  -- A late settlement may have left a stub of an event that Redis lost; it is about to expire.
  redis.call('DEL', key, key .. ':jobs')
  redis.call('HSET', key, 'id', e.id, 'type', e.type, 'scope', e.scope,
    'raw', e.raw, 'digest', e.digest, 'accepted_at', NOW, 'open', 0, 'door', A.ingress)
  if e.trace then redis.call('HSET', key, 'trace', e.trace) end
  redis.call('ZADD', P .. 'inbox', NOW + A.grace, e.ref)
  count('accepted')
  local index = P .. 'events:' .. e.scope
  redis.call('ZADD', index, NOW, e.ref)
  redis.call('PEXPIRE', index, A.horizon)
  -- Retention drops records one by one, in no order. Looking at two for each new event keeps most of the index alive.
  for _, ref in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
    if redis.call('EXISTS', P .. 'event:' .. ref) == 0 then redis.call('ZREM', index, ref) end
  end
  return 0
end

-- Returns what accept_event() returned for each of A.events.
local function accept_events()
  local answers = {}
  for i, e in ipairs(A.events) do answers[i] = accept_event(e) end
  return answers
end
