-- needs: collected_writes, lane_index
-- The due jobs of a lane. The lane's record has the bytes that its backlog takes in Redis. The list `backlogs` has them
-- too, for the largest lane, and `backlog-bytes` has their sum. Each job counts with the whole record of its event.

-- What a due job takes beside that record: its own record, and all entries and keys of both (bytes).
local JOB_BYTES = 1100

-- How many bytes this script has added to the backlog of each lane.
local backlog_changes = {}
local function change_backlog_bytes(lane, bytes)
  backlog_changes[lane] = (backlog_changes[lane] or 0) + bytes
end

-- Notes that a job became due, or is not due any more. `size` is the size of its event's record (bytes).
local function add_to_backlog(lane, size) change_backlog_bytes(lane, num(size) + JOB_BYTES) end
local function take_from_backlog(lane, size) change_backlog_bytes(lane, -num(size) - JOB_BYTES) end

-- Returns the bytes of a lane's backlog.
local function backlog_bytes(lane)
  return num(lane_record(lane).bytes) + (backlog_changes[lane] or 0)
end

-- Writes what was collected and the changes of lanes; call it once, at the end of a script. Returns the changed lanes
-- that have ready jobs and free slots, and those for which the caller sets `timers` (see lane_index.lua).
local function write_lanes(timers)
  local sum = 0
  for lane, bytes in pairs(backlog_changes) do
    if bytes ~= 0 then
      local before, left = num(lane_record(lane).bytes), 0
      if lane_record(lane).scope then
        left = before + bytes
        change_lane(lane, { bytes = left })
      else
        -- The lane of a deleted integration may have been deleted with its last job.
        before = num(redis.call('ZSCORE', P .. 'backlogs', lane))
      end
      sum = sum + left - before
      if left > 0 then later('ZADD', P .. 'backlogs', left, lane) else later('ZREM', P .. 'backlogs', lane) end
    end
  end
  if sum ~= 0 then redis.call('INCRBY', P .. 'backlog-bytes', string.format('%.0f', sum)) end
  backlog_changes = {}
  write_collected()
  return reindex_touched(timers)
end

-- Adds a job to its lane's due jobs that is not among them. `size` is the size of its event's record (bytes).
local function add_due(job, lane, at, size)
  later('ZADD', P .. 'lane:' .. lane .. ':due', at, job)
  add_to_backlog(lane, size)
  touch(lane)
end

-- Adds a job to its lane's due jobs, or changes the time when it is due.
local function make_due(job, lane, at, size)
  write_collected()
  if redis.call('ZADD', P .. 'lane:' .. lane .. ':due', at, job) == 1 then add_to_backlog(lane, size) end
  touch(lane)
end

-- Removes a job from its lane's due jobs. Returns false if it was not among them.
local function take_due(job, lane, size)
  write_collected()
  if redis.call('ZREM', P .. 'lane:' .. lane .. ':due', job) == 0 then return false end
  take_from_backlog(lane, size)
  return true
end
