-- load: events that are still in the inbox, to be observed. Puts off their next announcement.
-- A: refs, announce, byte_budget
-- Answers {meta, raw, raw ...}; meta = {events = [{ref id accepted_at scope trace}], versions = [{scope version}],
-- read = how many of the refs were looked at before the budget was spent}.
local meta = { events = {}, versions = {}, read = 0 }
local reply = { '' }
local bytes = 0
local seen = {}
for i, ref in ipairs(A.refs) do
  if bytes > A.byte_budget then break end
  meta.read = i
  if redis.call('ZSCORE', P .. 'inbox', ref) then
    local size, scope = send_event(meta, reply, ref)
    if not size then
      -- Nothing is left to observe.
      redis.call('ZREM', P .. 'inbox', ref)
      count('set_aside')
    elseif scope then
      redis.call('ZADD', P .. 'inbox', NOW + A.announce, ref)
      bytes = bytes + size
      if not seen[scope] then
        seen[scope] = true
        meta.versions[#meta.versions + 1] =
          { scope = scope, version = num(redis.call('HGET', P .. 'scope:' .. scope, 'version')) }
      end
    end
  end
end
write_counts()
reply[1] = cmsgpack.pack(meta)
return reply
