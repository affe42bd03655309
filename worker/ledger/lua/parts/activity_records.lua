-- The activity of lanes, for their charts: how many attempts each hour had, how many failed, and how long they took. A
-- string for each lane and day, with the same counters in each of its hours (lane_activity.py reads it):
--   bytes 0-7  the time of the last success (ms)
--   then for each hour eight counters of 32 bits: attempts, failures, and attempts by ACTIVITY_BOUNDS (activity.lua), the
--   last of them beyond all bounds

local function activity_key(lane, day) return P .. 'activity:' .. lane .. ':' .. string.format('%.0f', day) end

-- Where the counters of an hour begin (bytes).
local function activity_start(at) return 8 + math.floor(at % 86400000 / 3600000) * 32 end

-- Returns whether the attempts of a lane did well in this hour, or in the hour before if this one had none: some succeeded,
-- and none took longer than all bounds.
local function did_well_lately(lane)
  for _, at in ipairs({ NOW, NOW - 3600000 }) do
    local start = activity_start(at)
    local counters = redis.call('GETRANGE', activity_key(lane, math.floor(at / 86400000)), start, start + 31)
    counters = counters .. string.rep('\0', 32 - #counters)
    local attempts, failed = struct.unpack('>I4I4', counters)
    if attempts > 0 then return attempts > failed and struct.unpack('>I4', counters, 29) == 0 end
  end
  return false
end
