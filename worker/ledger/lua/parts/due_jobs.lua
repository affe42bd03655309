-- needs: collected_writes, lane_index
-- The due jobs of a lane. The lane's record has the bytes of its backlog: of the events of its due jobs.

-- How many bytes this script has added to the backlog of each lane.
local backlog_changes = {}
local function change_backlog_bytes(lane, bytes)
  backlog_changes[lane] = (backlog_changes[lane] or 0) + bytes
end

-- Returns the bytes of a lane's backlog.
local function backlog_bytes(lane)
  return num(lane_record(lane).bytes) + (backlog_changes[lane] or 0)
end

-- Writes what was collected and the changes of lanes; call it once, at the end of a script. Returns the changed lanes
-- that have ready jobs and free slots, and those for which the caller sets `timers` (see lane_index.lua).
local function write_lanes(timers)
  for lane, bytes in pairs(backlog_changes) do
    -- The lane of a deleted integration may have been deleted with its last job.
    if bytes ~= 0 and lane_record(lane).scope then change_lane(lane, { bytes = num(lane_record(lane).bytes) + bytes }) end
  end
  backlog_changes = {}
  write_collected()
  return reindex_touched(timers)
end

-- Adds a job to its lane's due jobs that is not among them. `size` is the size of its event (bytes).
local function add_due(job, lane, at, size)
  later('ZADD', P .. 'lane:' .. lane .. ':due', at, job)
  change_backlog_bytes(lane, num(size))
  touch(lane)
end

-- Adds a job to its lane's due jobs, or changes the time when it is due.
local function make_due(job, lane, at, size)
  write_collected()
  if redis.call('ZADD', P .. 'lane:' .. lane .. ':due', at, job) == 1 then change_backlog_bytes(lane, num(size)) end
  touch(lane)
end

-- Removes a job from its lane's due jobs. Returns false if it was not among them.
local function take_due(job, lane, size)
  write_collected()
  if redis.call('ZREM', P .. 'lane:' .. lane .. ':due', job) == 0 then return false end
  change_backlog_bytes(lane, -num(size))
  return true
end
