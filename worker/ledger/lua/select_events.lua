-- needs: event_records, time_cursor
-- select_events: a chunk of a scope's kept events by time of acceptance, the oldest first.
-- A: scope, since, after, till, limit, types = {type = true}      (the cursor and its chunk: see time_cursor.lua)
-- Returns msgpack {refs = [observed events of the types], looked_at, since, after, done = 0 | 1}.
local index = P .. 'events:' .. A.scope
local found = read_chunk(index)
local reply = cursor_after(found)
reply.refs = {}
for i = 1, #found, 2 do
  local ref = found[i]
  local event = event_head(ref)
  -- An event that is still in the inbox will be matched when it is observed.
  if event and not event.erased and A.types[event.type] and not redis.call('ZSCORE', P .. 'inbox', ref) then
    reply.refs[#reply.refs + 1] = ref
  end
end
return cmsgpack.pack(reply)
