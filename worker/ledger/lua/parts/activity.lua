-- The activity of lanes, for their charts: how many attempts each hour had, how many failed, and how long they took. A
-- string for each lane and day, with the same counters in each of its hours (lane_activity.py reads it):
--   bytes 0-7  the time of the last success (ms)
--   then for each hour eight counters of 32 bits: attempts, failures, and attempts by ACTIVITY_BOUNDS, the last of them
--   beyond all bounds

local ACTIVITY_BOUNDS = { 100, 250, 500, 1000, 3000 }
-- A chart shows the last 24 hours, so a day is needed until the next one is over (ms).
local ACTIVITY_KEPT = 172800000

local function activity_key(lane, at) return P .. 'activity:' .. lane .. ':' .. math.floor(at / 86400000) end

-- Where the counters of an hour begin (bytes).
local function activity_start(at) return 8 + math.floor(at % 86400000 / 3600000) * 32 end

-- Returns whether the attempts of a lane did well in this hour, or in the hour before if this one had none: some succeeded,
-- and none took longer than all bounds.
local function did_well_lately(lane)
  for _, at in ipairs({ NOW, NOW - 3600000 }) do
    local start = activity_start(at)
    local counters = redis.call('GETRANGE', activity_key(lane, at), start, start + 31)
    counters = counters .. string.rep('\0', 32 - #counters)
    local attempts, failed = struct.unpack('>I4I4', counters)
    if attempts > 0 then return attempts > failed and struct.unpack('>I4', counters, 29) == 0 end
  end
  return false
end

local activity = {}

-- Counts an attempt of a lane that took so many milliseconds.
local function note_activity(lane, succeeded, ms)
  local noted = activity[lane]
  if not noted then
    noted = { 0, 0, 0, 0, 0, 0, 0, 0 }
    activity[lane] = noted
  end
  noted[1] = noted[1] + 1
  if succeeded then noted.succeeded = true else noted[2] = noted[2] + 1 end
  local bucket = 1
  while bucket <= #ACTIVITY_BOUNDS and ms > ACTIVITY_BOUNDS[bucket] do bucket = bucket + 1 end
  noted[2 + bucket] = noted[2 + bucket] + 1
end

-- Writes what was counted: one command for each lane, and a second one in the first call of an hour.
local function write_activity()
  local first = activity_start(NOW) * 8
  for lane, noted in pairs(activity) do
    local key, calls, n = activity_key(lane, NOW), { 'OVERFLOW', 'SAT' }, 2
    for i = 1, 8 do
      if noted[i] > 0 then
        calls[n + 1], calls[n + 2], calls[n + 3], calls[n + 4] = 'INCRBY', 'u32', first + (i - 1) * 32, noted[i]
        n = n + 4
      end
    end
    if noted.succeeded then
      calls[n + 1], calls[n + 2], calls[n + 3], calls[n + 4] = 'SET', 'i64', 0, string.format('%.0f', NOW)
    end
    local totals = redis.call('BITFIELD', key, unpack(calls))
    if totals[1] == noted[1] then redis.call('PEXPIRE', key, ACTIVITY_KEPT) end
  end
end
