-- needs: counters, event_replies
-- load: loads events that are still in the inbox, to be observed, and postpones their next announcement.
-- A: refs, owner, alone (the process observes nothing else meanwhile), announce, byte_budget, alone_after, tries
-- The record of an event names its observers until the event has left the inbox. A dead observer may have died of this
-- event, or of another one that it observed at the same time. So an event that lost `alone_after` observers is loaded
-- alone, and an event that lost `tries` observers is loaded only to be set aside.
-- Returns {meta, raw, raw ...}; meta = {events = [{ref id accepted_at scope ingress trace? lost}],
-- versions = [{scope version}], alone = [refs that must be loaded alone], newer = how many were left to newer processes,
-- read = how many of the refs were processed before the byte budget was spent}.
local meta = { events = {}, versions = {}, alone = {}, read = 0, newer = 0 }
local reply = { '' }
local bytes = 0
local seen = {}

-- Returns how many observers an event has lost, the list of those that still live, and the event's minor version.
local function observers_of(key)
  local h = redis.call('HMGET', key, 'observers', 'lost', 'minor')
  local lost, living = num(h[2]), {}
  for owner in string.gmatch(h[1] or '', '%S+') do
    -- While a jump of TIME is held back (see clock.lua), no observer counts as lost.
    if owner == A.owner or HELD > 0 or num(redis.call('ZSCORE', P .. 'owners', owner)) > NOW then
      living[#living + 1] = owner
    else
      lost = lost + 1
    end
  end
  return lost, living, num(h[3])
end

local function note_observers(key, lost, living, joining)
  local mine = false
  for _, owner in ipairs(living) do mine = mine or owner == A.owner end
  if joining and not mine then living[#living + 1] = A.owner end
  redis.call('HSET', key, 'lost', lost, 'observers', table.concat(living, ' '))
end

for i, ref in ipairs(A.refs) do
  if bytes > A.byte_budget then break end
  meta.read = i
  if redis.call('ZSCORE', P .. 'inbox', ref) then
    local key = P .. 'event:' .. ref
    if redis.call('HEXISTS', key, 'raw') == 0 then
      -- The event's record is lost, so there is nothing to observe.
      redis.call('ZREM', P .. 'inbox', ref)
      count('set_aside')
    else
      redis.call('ZADD', P .. 'inbox', NOW + A.announce, ref)
      local lost, living, minor = observers_of(key)
      -- An event that this build does not understand stays in the inbox, for a newer process.
      local newer = minor > MINOR
      local put_off = lost >= A.alone_after and not A.alone
      note_observers(key, lost, living, not newer and not put_off and lost < A.tries)
      if newer then
        meta.newer = meta.newer + 1
      elseif put_off then
        meta.alone[#meta.alone + 1] = ref
      else
        local size, scope = send_event(meta, reply, ref)
        if scope then
          meta.events[#meta.events].lost = lost
          bytes = bytes + size
          if not seen[scope] then
            seen[scope] = true
            meta.versions[#meta.versions + 1] =
              { scope = scope, version = num(redis.call('HGET', P .. 'scope:' .. scope, 'version')) }
          end
        end
      end
    end
  end
end
write_counters()
reply[1] = cmsgpack.pack(meta)
return reply
