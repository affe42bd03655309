-- Notices: transitions that lifecycle events report. The script that makes a transition adds its notice to the list
-- `notices`, which is the outbox. The next sweep finds it there, and publish_notice accepts the event and takes the notice
-- off the list in one call. So each transition has one event, and a process that dies in between loses none.

-- The longest reason that a lane or a notice keeps (bytes).
local WHY_KEPT = 200

-- Returns a text without the characters beyond WHY_KEPT bytes.
local function cut(text)
  if #text <= WHY_KEPT then return text end
  local last = WHY_KEPT
  -- Bytes 128 to 191 continue a character.
  while last > 0 and string.byte(text, last + 1) >= 128 and string.byte(text, last + 1) < 192 do last = last - 1 end
  return string.sub(text, 1, last)
end

-- Adds a notice: `kind` is failing, recovered, disabled, filling or ending; `facts` has numbers and texts about it.
local function note_transition(kind, lane, facts)
  facts.kind, facts.lane, facts.at = kind, lane, NOW
  redis.call('RPUSH', P .. 'notices', cjson.encode(facts))
end
