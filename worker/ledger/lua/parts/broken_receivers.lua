-- needs: disabling, failing_index, notices
-- Receivers that only fail: people are warned, and at last the integration is disabled.
-- A.broken = {after (how long all attempts must have failed, ms; 0 never disables), attempts (how many must have failed
--   at least, of more than one job), words (`after` in words)}

local BROKEN_WARNINGS = { 90, 50 }
-- Receivers to warn of: [{lane, % of A.broken.after that has passed, since when it fails (ms), attempts}].
local broken_receivers = {}

-- Records a failure. An attempt to deliver a lifecycle event (item.quiet) raises none. The count of failed jobs stops at 2.
local function note_failing(lane, item)
  local h = lane_record(lane)
  if not h.failing_since and h.hold ~= 'closing' then list_failing(lane, h.scope) end
  local since, attempts = h.failing_since and num(h.failing_since) or NOW, num(h.failing_attempts) + 1
  local first = h.failing_job or item.job
  local jobs = first ~= item.job and 2 or math.max(1, num(h.failing_jobs))
  change_lane(lane, { failing_since = since, failing_attempts = attempts, failing_job = first, failing_jobs = jobs })
  local why = cut(item.why or '')
  if why ~= h.failing_why then change_lane(lane, { failing_why = why }) end
  local policy, percent = A.broken, 0
  if policy.after <= 0 or jobs < 2 or attempts < policy.attempts then return end
  local share = (NOW - since) / policy.after * 100
  if share >= 100 then
    disable(lane, string.format('nothing but failures for %s, in %d attempts; the last one: %s',
      policy.words, attempts, item.why or ''), item.quiet)
    return
  end
  for _, each in ipairs(BROKEN_WARNINGS) do
    if percent == 0 and share >= each then percent = each end
  end
  if percent > num(h.failing_warned) then
    change_lane(lane, { failing_warned = percent })
    broken_receivers[#broken_receivers + 1] = { lane, percent, since, attempts }
  end
  if percent > num(h.failing_reported) and not item.quiet then
    change_lane(lane, { failing_reported = percent, trouble = h.trouble or since })
    note_transition('failing', lane, { percent = percent, since = since, attempts = attempts, why = why,
                                       disable_at = since + policy.after })
  end
end

-- Notes that a receiver of which people were warned works again; an attempt to deliver a lifecycle event does not.
local function note_recovered(lane, item)
  local h = lane_record(lane)
  if item.quiet or h.hold == 'disabled' then return end
  note_transition('recovered', lane, { since = num(h.trouble), attempts = num(h.failing_attempts) })
  change_lane(lane, { trouble = false })
end

-- Records a success: the receiver does not only fail.
local function note_not_failing(lane, item)
  local h = lane_record(lane)
  if h.trouble then note_recovered(lane, item) end
  if h.failing_since then
    unlist_failing(lane, h.scope)
    change_lane(lane, { failing_since = false, failing_attempts = false, failing_job = false, failing_jobs = false,
                        failing_warned = false, failing_reported = false, failing_why = false })
  end
end
