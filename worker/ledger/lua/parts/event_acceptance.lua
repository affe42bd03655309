-- needs: counters
-- The acceptance of events into the inbox.

-- Puts an event into the inbox, once: e = {ref id type scope raw digest trace? minor?}.
-- A.acceptance is a random number of this call, which distinguishes this event from a later one of the same id. A.grace is the time until a sweep
-- announces it (ms), A.horizon the longest time that an event can be kept (ms). Returns 0 for a new event, 1 for a
-- duplicate, 2 for a duplicate with other content.
local function accept_event(e)
  local key = P .. 'event:' .. e.ref
  local digest = redis.call('HGET', key, 'digest')
  if digest then
    count('duplicates')
    return digest == e.digest and 1 or 2
  end
  -- If Redis lost an event, a late settlement may have left an incomplete record of it, which is about to expire.
  redis.call('DEL', key, key .. ':jobs')
  redis.call('HSET', key, 'id', e.id, 'type', e.type, 'scope', e.scope,
    'raw', e.raw, 'digest', e.digest, 'accepted_at', NOW, 'open', 0, 'door', A.ingress,
    'acceptance', A.acceptance)
  if e.minor then redis.call('HSET', key, 'minor', e.minor) end
  if e.trace then redis.call('HSET', key, 'trace', e.trace) end
  redis.call('ZADD', P .. 'inbox', NOW + A.grace, e.ref)
  count('accepted')
  local index = P .. 'events:' .. e.scope
  redis.call('ZADD', index, NOW, e.ref)
  redis.call('PEXPIRE', index, A.horizon)
  -- Records expire one by one, in no order. To check two members for each new event keeps most of the index valid.
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
