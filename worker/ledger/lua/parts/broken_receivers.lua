-- needs: disabling, failing_index
-- Receivers that only fail: people are warned, and at last the integration is disabled.
-- A.broken = {after (how long all attempts must have failed, ms; 0 never disables), attempts (how many must have failed
--   at least, of more than one job), words (`after` in words)}

local BROKEN_WARNINGS = { 90, 50 }
-- Receivers to warn of: [{lane, % of A.broken.after that has passed, since when it fails (ms), attempts}].
local broken_receivers = {}

-- The longest reason that a lane keeps (bytes).
local WHY_KEPT = 200

-- Returns a text without the characters beyond WHY_KEPT bytes.
local function cut(text)
  if #text <= WHY_KEPT then return text end
  local last = WHY_KEPT
  -- Bytes 128 to 191 continue a character.
  while last > 0 and string.byte(text, last + 1) >= 128 and string.byte(text, last + 1) < 192 do last = last - 1 end
  return string.sub(text, 1, last)
end

-- Records a failure. The count of failed jobs stops at 2.
local function note_failing(lane, item)
  local h = lane_record(lane)
  if not h.failing_since and h.hold ~= 'closing' then list_failing(lane, h.scope) end
  local since, attempts = h.failing_since and num(h.failing_since) or NOW, num(h.failing_attempts) + 1
  local first = h.failing_job or item.job
  local jobs = first ~= item.job and 2 or math.max(1, num(h.failing_jobs))
  change_lane(lane, { failing_since = since, failing_attempts = attempts, failing_job = first, failing_jobs = jobs })
  local why = cut(item.why)
  if why ~= h.failing_why then change_lane(lane, { failing_why = why }) end
  local policy, percent = A.broken, 0
  if policy.after <= 0 or jobs < 2 or attempts < policy.attempts then return end
  local share = (NOW - since) / policy.after * 100
  if share >= 100 then
    disable(lane, string.format('nothing but failures for %s, in %d attempts; the last one: %s',
      policy.words, attempts, item.why))
    return
  end
  for _, each in ipairs(BROKEN_WARNINGS) do
    if percent == 0 and share >= each then percent = each end
  end
  if percent > num(h.failing_warned) then
    change_lane(lane, { failing_warned = percent })
    broken_receivers[#broken_receivers + 1] = { lane, percent, since, attempts }
  end
end

-- Records a success: the receiver does not only fail.
local function note_not_failing(lane)
  local h = lane_record(lane)
  if h.failing_since then
    unlist_failing(lane, h.scope)
    change_lane(lane, { failing_since = false, failing_attempts = false, failing_job = false, failing_jobs = false,
                        failing_warned = false, failing_why = false })
  end
end
