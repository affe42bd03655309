-- needs: event_records, resource_events
-- page_events: a page of the events of a scope or of one of its resources, the newest first.
-- A: scope, resource = the key of a resource, or '' for all events, offset, limit
-- Returns {msgpack {refs, waiting = [0 | 1 in the inbox], total}, the start of each record}.
local refs, total
if A.resource == '' then
  local index = P .. 'events:' .. A.scope
  refs, total = redis.call('ZRANGE', index, A.offset, A.offset + A.limit - 1, 'REV'), redis.call('ZCARD', index)
else
  local listed = redis.call('GET', P .. 'events:' .. A.resource) or ''
  refs, total = {}, math.floor(math.max(0, #listed - 8) / REF_BYTES)
  for place = total - A.offset, math.max(1, total - A.offset - A.limit + 1), -1 do
    refs[#refs + 1] = string.sub(listed, 9 + (place - 1) * REF_BYTES, 8 + place * REF_BYTES)
  end
end
local meta, reply = { refs = {}, waiting = {}, total = total }, { '' }
local in_inbox = #refs > 0 and redis.call('ZMSCORE', P .. 'inbox', unpack(refs)) or {}
for i, ref in ipairs(refs) do
  local start = redis.call('GETRANGE', P .. 'event:' .. ref, 0, FIRST_BYTES - 1)
  -- Redis may have lost the record. A record whose head is longer is read whole.
  if #start > BEGINNING then
    local bytes = BEGINNING + struct.unpack('>H', start, 25)
    if bytes > FIRST_BYTES then start = redis.call('GETRANGE', P .. 'event:' .. ref, 0, bytes - 1) end
    if head_of(start).scope == A.scope then
      meta.refs[#meta.refs + 1] = ref
      meta.waiting[#meta.waiting + 1] = in_inbox[i] and 1 or 0
      reply[#reply + 1] = string.sub(start, 1, bytes)
    end
  end
end
reply[1] = cmsgpack.pack(meta)
return reply
