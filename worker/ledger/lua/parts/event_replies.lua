-- Events in the reply of a script, which has the shape {meta, record, record ...} (see event_records.lua).

-- Adds an event to the reply, once. Returns its record, or nil if that is gone (by retention, or because Redis was
-- restored from an old copy).
local sent = {}
local function send_event(meta, reply, ref)
  if sent[ref] ~= nil then return sent[ref] or nil end
  local record = redis.call('GET', P .. 'event:' .. ref)
  sent[ref] = record
  if not record then return nil end
  meta.events[#meta.events + 1] = { ref = ref }
  reply[#reply + 1] = record
  return record
end
