-- needs: counters, failing_index
-- The history of a receiver, which attempts write into its lane: rests, circuit, failures.

local RECEIVER_HISTORY = { 'rest_until', 'circuit', 'circuit_until', 'trips', 'failures', 'window_from', 'window_all',
  'window_failed', 'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs', 'failing_warned', 'failing_reported', 'failing_why' }

-- Forgets the receiver of an old configuration. Returns 1 if this closed the lane's circuit, else 0.
local function forget_receiver(id)
  local lane = P .. 'lane:' .. id
  local found = redis.call('HMGET', lane, 'circuit', 'failing_since', 'scope')
  local closed = (found[1] or '') ~= ''
  if found[2] then unlist_failing(id, found[3]) end
  if closed then count('circuits_closed') end
  redis.call('HDEL', lane, unpack(RECEIVER_HISTORY))
  return closed and 1 or 0
end
