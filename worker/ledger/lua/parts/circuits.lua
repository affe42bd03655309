-- needs: counters
-- Circuits: a lane whose receiver keeps failing rests for a while.
-- A.circuit:
--   failures  consecutive failures that open a circuit; 0 disables this trigger
--   share     share of failed attempts in a window that opens a circuit; 0 disables this trigger
--   least     attempts that the share needs at least
--   window    length of the window (ms)
--   cools     [ms] how long a circuit stays open the first time, the second time, and so on

-- The circuits that changed: [{lane, open or closed, until}].
local circuit_changes = {}

local function open_circuit(lane, trips)
  local cools = A.circuit.cools
  local until_ = NOW + cools[math.min(trips, #cools)]
  redis.call('HSET', P .. 'lane:' .. lane, 'circuit', 'open', 'circuit_until', until_, 'trips', trips)
  redis.call('HDEL', P .. 'lane:' .. lane, 'failures', 'window_from', 'window_all', 'window_failed')
  circuit_changes[#circuit_changes + 1] = { lane, 'open', until_ }
  count('circuits_opened')
end

local function close_circuit(lane)
  redis.call('HDEL', P .. 'lane:' .. lane, 'circuit', 'circuit_until', 'trips')
  circuit_changes[#circuit_changes + 1] = { lane, 'closed', 0 }
  count('circuits_closed')
end

-- `h` has the lane's circuit, failures, window_from, window_all, window_failed, trips.
local function note_circuit_success(lane, h)
  if (h[1] or '') ~= '' then
    close_circuit(lane)
    return
  end
  if num(h[2]) > 0 then redis.call('HSET', P .. 'lane:' .. lane, 'failures', 0) end
  -- Successes count only within a window, and a window begins with a failure.
  if h[3] then redis.call('HINCRBY', P .. 'lane:' .. lane, 'window_all', 1) end
end

local function note_circuit_failure(lane, h)
  local circuit, policy = h[1] or '', A.circuit
  if circuit == 'half' then open_circuit(lane, num(h[6]) + 1) end
  if circuit ~= '' then return end
  local failures, from, all, failed = num(h[2]) + 1, num(h[3]), num(h[4]) + 1, num(h[5]) + 1
  if NOW - from > policy.window then from, all, failed = NOW, 1, 1 end
  local in_a_row = policy.failures > 0 and failures >= policy.failures
  local too_many = policy.share > 0 and all >= policy.least and failed >= policy.share * all
  if in_a_row or too_many then
    open_circuit(lane, 1)
  else
    redis.call('HSET', P .. 'lane:' .. lane, 'failures', failures, 'window_from', from, 'window_all', all,
      'window_failed', failed)
  end
end
