-- Events in the reply of a script, which has the shape {meta, raw, raw ...}.

-- Adds an event to the reply, once. Returns the added bytes and the event's scope; 0 if the reply has it already; nil
-- if the event's record is gone (by retention, or because Redis was restored from an old copy).
local sent = {}
local function send_event(meta, reply, ref)
  if sent[ref] then return 0 end
  local e = redis.call('HMGET', P .. 'event:' .. ref, 'id', 'accepted_at', 'raw', 'scope', 'door', 'trace',
    'acceptance', 'minor')
  if not e[3] then return nil end
  sent[ref] = true
  meta.events[#meta.events + 1] =
    { ref = ref, id = e[1], accepted_at = num(e[2]), scope = e[4] or '', ingress = e[5] or '', trace = e[6] or nil,
      acceptance = num(e[7]), minor = num(e[8]) }
  reply[#reply + 1] = e[3]
  return #e[3], e[4]
end
