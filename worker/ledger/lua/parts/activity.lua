-- needs: activity_records
-- What attempts write into the records of activity.

local ACTIVITY_BOUNDS = { 100, 250, 500, 1000, 3000 }
-- A chart shows the last 24 hours, so a day is needed until the next one is over (ms).
local ACTIVITY_KEPT = 172800000

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
  local day, first = math.floor(NOW / 86400000), activity_start(NOW) * 8
  for lane, noted in pairs(activity) do
    local key, calls, n = activity_key(lane, day), { 'OVERFLOW', 'SAT' }, 2
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
