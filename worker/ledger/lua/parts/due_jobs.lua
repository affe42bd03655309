-- needs: lane_index
-- The due jobs of a lane. The lane knows the bytes of its backlog: of the events that its due jobs are of.

-- By how many bytes this script has changed the backlog of a lane.
local backlog_changes = {}
local function change_backlog_bytes(lane, bytes)
  backlog_changes[lane] = (backlog_changes[lane] or 0) + bytes
end

-- Returns the bytes of a lane's backlog; `written` is the field `bytes` of its hash.
local function backlog_bytes(lane, written)
  return num(written) + (backlog_changes[lane] or 0)
end

-- Writes what changed in the lanes, once, at the end of a script. Returns the changed lanes that have ready jobs and
-- room.
local function write_lanes()
  for lane, bytes in pairs(backlog_changes) do
    local key = P .. 'lane:' .. lane
    -- The last job of a deleted integration takes its lane with it.
    if bytes ~= 0 and redis.call('HEXISTS', key, 'scope') == 1 then redis.call('HINCRBY', key, 'bytes', bytes) end
  end
  return reindex_touched()
end

-- A job enters its lane's due jobs, or is due at another time than it was. `size` is the size of its event.
local function make_due(job, lane, at, size)
  if redis.call('ZADD', P .. 'lane:' .. lane .. ':due', at, job) == 1 then change_backlog_bytes(lane, num(size)) end
  touch(lane)
end

-- A job leaves its lane's due jobs. Returns false where it was not among them.
local function take_due(job, lane, size)
  if redis.call('ZREM', P .. 'lane:' .. lane .. ':due', job) == 0 then return false end
  change_backlog_bytes(lane, -num(size))
  return true
end
