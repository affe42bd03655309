-- select_events: retained events of a scope by when they were accepted, the oldest first; a portion a call.
-- A: scope, since, skip, till, limit, types = {type = true}      (since, skip: as in select_jobs)
-- Answers msgpack {refs = [those of the types, and observed already], looked_at, since, skip, done = 0 | 1}.
local index = P .. 'events:' .. A.scope
local found = redis.call('ZRANGE', index, A.since, A.till, 'BYSCORE', 'LIMIT', A.skip, A.limit, 'WITHSCORES')
local reply = { refs = {}, looked_at = #found / 2, since = A.since, skip = A.skip, done = #found < 2 * A.limit and 1 or 0 }
for i = 1, #found, 2 do
  local ref, accepted = found[i], tonumber(found[i + 1])
  if accepted == reply.since then
    reply.skip = reply.skip + 1
  else
    reply.since, reply.skip = accepted, 1
  end
  local kind = redis.call('HGET', P .. 'event:' .. ref, 'type')
  -- What is still in the inbox is matched by its observation.
  if kind and A.types[kind] and not redis.call('ZSCORE', P .. 'inbox', ref) then
    reply.refs[#reply.refs + 1] = ref
  end
end
return cmsgpack.pack(reply)
