-- needs: lane_policy
-- The index of lanes: when each lane that has due jobs needs service.

-- A lane at its limit in flight is checked again after this time (ms), even if no settlement reports free slots.
local FULL_LANE_RECHECK = 5000

local function first_due(id)
  local head = redis.call('ZRANGE', P .. 'lane:' .. id .. ':due', 0, 0, 'WITHSCORES')
  return head[1] and tonumber(head[2])
end

-- Corrects a lane's place in the index. Invariant 6: a lane is in the index exactly while it has due jobs and is not
-- held. Returns whether a claim would find work there now; if not, also the time when it may, unless the lane waits for
-- free slots or for a change by a person.
local function reindex(id)
  local due = first_due(id)
  if not due then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SREM', P .. 'held', id)
    return false
  end
  local lane = policy_of(id)
  if not lane.exists or lane.hold ~= '' then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SADD', P .. 'held', id)
    return false
  end
  local ready = math.max(due, lane.from)
  local full = redis.call('SCARD', P .. 'lane:' .. id .. ':leased') >= lane.cap
  local at = math.max(ready, lane.announced_until, full and NOW + FULL_LANE_RECHECK or 0)
  redis.call('ZADD', P .. 'lanes', at, id)
  if full then return false end
  return ready <= NOW, ready
end

-- Notes a lane whose place in the index may have changed.
local touched, is_touched = {}, {}
local function touch(id)
  if is_touched[id] then return end
  is_touched[id] = true
  touched[#touched + 1] = id
end

-- A process sets no timer for a lane that is ready later than this (ms): a sweep will announce it.
local TIMED = 60000
-- A sweep announces a lane so long after its time (ms) if a process has set a timer for it.
local GRACE = 200

-- Corrects the places of the touched lanes. Returns those that have ready jobs and free slots. If the caller sets `timers`,
-- also returns [{lane, ms until it has ready jobs}] of those that have some within a minute.
local function reindex_touched(timers)
  local ready, later = {}, {}
  for _, id in ipairs(touched) do
    local now, at = reindex(id)
    if now then
      ready[#ready + 1] = id
    elseif timers and at and at - NOW <= TIMED then
      later[#later + 1] = { id, at - NOW }
      redis.call('HSET', P .. 'lane:' .. id, 'announced_until', at + GRACE)
      redis.call('ZADD', P .. 'lanes', at + GRACE, id)
    end
  end
  return ready, later
end
