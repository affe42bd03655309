-- needs: disabling
-- Receivers that only fail: people are warned, and at last the integration is disabled.
-- A.broken = {after (how long all attempts must have failed, ms; 0 never disables), attempts (how many must have failed
--   at least, of more than one job), words (`after` in words)}

local BROKEN_WARNINGS = { 90, 50 }
-- Receivers to warn of: [{lane, % of A.broken.after that has passed, since when it fails (ms), attempts}].
local broken_receivers = {}

-- Records a failure. `h` has the lane's failing_since, failing_attempts, failing_job, failing_jobs, failing_warned. The
-- count of failed jobs stops at 2.
local function note_failing(lane, item, h)
  local since, attempts = h[1] and num(h[1]) or NOW, num(h[2]) + 1
  local jobs = h[3] and h[3] ~= item.job and 2 or math.max(1, num(h[4]))
  redis.call('HSET', P .. 'lane:' .. lane, 'failing_since', since, 'failing_attempts', attempts,
    'failing_job', h[3] or item.job, 'failing_jobs', jobs)
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
  if percent > num(h[5]) then
    redis.call('HSET', P .. 'lane:' .. lane, 'failing_warned', percent)
    broken_receivers[#broken_receivers + 1] = { lane, percent, since, attempts }
  end
end

-- Records a success: the receiver does not only fail.
local function note_not_failing(lane, h)
  if h[1] then
    redis.call('HDEL', P .. 'lane:' .. lane, 'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs',
      'failing_warned')
  end
end
