-- needs: broken_receivers, circuits
-- The health of a receiver, as an attempt shows it: item.health is `ok` or `failed`.

-- Records the health. A healthy receiver costs one read and no write.
local function note_health(lane, item)
  local h = redis.call('HMGET', P .. 'lane:' .. lane, 'circuit', 'failures', 'window_from', 'window_all',
    'window_failed', 'trips', 'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs', 'failing_warned')
  local failing = { h[7], h[8], h[9], h[10], h[11] }
  if item.health == 'ok' then
    note_not_failing(lane, failing)
    note_circuit_success(lane, h)
  else
    note_failing(lane, item, failing)
    note_circuit_failure(lane, h)
  end
end
