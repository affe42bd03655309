-- needs: counters, lane_records
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
  change_lane(lane, { circuit = 'open', circuit_until = until_, trips = trips, failures = false, window_from = false,
                      window_all = false, window_failed = false })
  circuit_changes[#circuit_changes + 1] = { lane, 'open', until_ }
  count('circuits_opened')
end

local function close_circuit(lane)
  change_lane(lane, { circuit = false, circuit_until = false, trips = false })
  circuit_changes[#circuit_changes + 1] = { lane, 'closed', 0 }
  count('circuits_closed')
end

local function note_circuit_success(lane)
  local h = lane_record(lane)
  if (h.circuit or '') ~= '' then
    close_circuit(lane)
    return
  end
  if num(h.failures) > 0 then change_lane(lane, { failures = 0 }) end
  -- Successes count only within a window, and a window begins with a failure.
  if h.window_from then change_lane(lane, { window_all = num(h.window_all) + 1 }) end
end

local function note_circuit_failure(lane)
  local h, policy = lane_record(lane), A.circuit
  local circuit = h.circuit or ''
  if circuit == 'half' then open_circuit(lane, num(h.trips) + 1) end
  if circuit ~= '' then return end
  local failures, from = num(h.failures) + 1, num(h.window_from)
  local all, failed = num(h.window_all) + 1, num(h.window_failed) + 1
  if NOW - from > policy.window then from, all, failed = NOW, 1, 1 end
  local in_a_row = policy.failures > 0 and failures >= policy.failures
  local too_many = policy.share > 0 and all >= policy.least and failed >= policy.share * all
  if in_a_row or too_many then
    open_circuit(lane, 1)
  else
    change_lane(lane, { failures = failures, window_from = from, window_all = all, window_failed = failed })
  end
end
