-- Events in the reply of a script, which has the shape {meta, record, record ...} (see event_records.lua).

-- Adds the record of an event to the reply.
local sent = {}
local function send_record(meta, reply, ref, record)
  sent[ref] = record
  meta.events[#meta.events + 1] = { ref = ref }
  reply[#reply + 1] = record
end

-- Adds an event to the reply, once. Returns its record, or nil if that is gone (by retention, or because Redis was
-- restored from an old copy).
local function send_event(meta, reply, ref)
  if sent[ref] ~= nil then return sent[ref] or nil end
  local record = redis.call('GET', P .. 'event:' .. ref)
  if record then
    send_record(meta, reply, ref, record)
  else
    sent[ref] = false
  end
  return record or nil
end
