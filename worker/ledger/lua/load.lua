-- needs: collected_writes, counters, event_jobs, event_records, event_replies
-- load: loads events that are still in the inbox, to be observed, and postpones their next announcement.
-- A: refs, owner, alone (the process observes nothing else meanwhile), announce, byte_budget, alone_after, tries
-- The progress of an event names its observers until the event has left the inbox. A dead observer may have died of this
-- event, or of another one that it observed at the same time. So an event that lost `alone_after` observers is loaded
-- alone, and an event that lost `tries` observers is loaded only to be set aside.
-- Returns {meta, record, record ...}; meta = {events = [{ref lost jobs?}], versions = [{scope version}],
-- alone = [refs that must be loaded alone], newer = how many were left to newer processes,
-- read = how many of the refs were processed before the byte budget was spent}.
local meta = { events = {}, versions = {}, alone = {}, read = 0, newer = 0 }
local reply = { '' }
local bytes = 0
local seen = {}

-- Returns how many observers an event has lost, the list of those that still live, and whether it has jobs already.
local function observers_of(key)
  local h = redis.call('HMGET', key, 'observers', 'lost', 'open')
  local lost, living = num(h[2]), {}
  for owner in string.gmatch(h[1] or '', '%S+') do
    -- While a jump of TIME is held back (see clock.lua), no observer counts as lost.
    if owner == A.owner or HELD > 0 or num(redis.call('ZSCORE', P .. 'owners', owner)) > NOW then
      living[#living + 1] = owner
    else
      lost = lost + 1
    end
  end
  return lost, living, h[3]
end

-- Returns the ids of the jobs that an interrupted observer opened; nil if they cannot be read.
local function opened_jobs(ref)
  local read, ids = pcall(jobs_of_event, ref)
  return read and ids and not string.find(ids, '[^%x-]') and ids or nil
end

local function note_observers(key, lost, living, joining)
  local mine = false
  for _, owner in ipairs(living) do mine = mine or owner == A.owner end
  if joining and not mine then living[#living + 1] = A.owner end
  redis.call('HSET', key, 'lost', lost, 'observers', table.concat(living, ' '))
end

local function load_event(ref)
  local progress = P .. 'event:' .. ref .. ':progress'
  local lost, living, has_jobs = observers_of(progress)
  local put_off = lost >= A.alone_after and not A.alone
  local record = not put_off and redis.call('GET', P .. 'event:' .. ref)
  if not put_off and not record then
    -- The event's record is lost, so there is nothing to observe.
    redis.call('ZREM', P .. 'inbox', ref)
    redis.call('DEL', progress)
    count('set_aside')
    return
  end
  later('ZADD', P .. 'inbox', NOW + A.announce, ref)
  if put_off then
    note_observers(progress, lost, living, false)
    meta.alone[#meta.alone + 1] = ref
    return
  end
  local head = head_of(record)
  -- An event that this build does not understand stays in the inbox, for a newer process.
  local newer = head.minor > MINOR
  note_observers(progress, lost, living, not newer and lost < A.tries)
  if newer then
    meta.newer = meta.newer + 1
    return
  end
  send_record(meta, reply, ref, record)
  meta.events[#meta.events].lost = lost
  if has_jobs then meta.events[#meta.events].jobs = opened_jobs(ref) end
  bytes = bytes + head.size
  if not seen[head.scope] then
    seen[head.scope] = true
    meta.versions[#meta.versions + 1] =
      { scope = head.scope, version = num(redis.call('HGET', P .. 'scope:' .. head.scope, 'version')) }
  end
end

local in_inbox, loaded = redis.call('ZMSCORE', P .. 'inbox', unpack(A.refs)), {}
for i, ref in ipairs(A.refs) do
  if bytes > A.byte_budget then break end
  meta.read = i
  if in_inbox[i] and not loaded[ref] then
    loaded[ref] = true
    load_event(ref)
  end
end
write_collected()
write_counters()
reply[1] = cmsgpack.pack(meta)
return reply
