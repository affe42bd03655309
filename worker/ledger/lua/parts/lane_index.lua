-- needs: lane_policy
-- The index of lanes: when each lane that has due jobs needs service.

-- A lane at its limit in flight is checked again after this time (ms), even if no settlement reports free slots.
local FULL_LANE_RECHECK = 5000

local function first_due(id)
  local head = redis.call('ZRANGE', P .. 'lane:' .. id .. ':due', 0, 0, 'WITHSCORES')
  return head[1] and tonumber(head[2])
end

-- Returns a lane's place: `idle` without due jobs, `held`, or `indexed` with the time when it needs service. Then the
-- third value is whether a claim would find work there now, and the fourth the time when it may, unless the lane waits
-- for free slots.
local function place_of(id)
  local due = first_due(id)
  if not due then return 'idle' end
  local lane = policy_of(id)
  if not lane.exists or lane.hold ~= '' then return 'held' end
  local ready = math.max(due, lane.from)
  local full = redis.call('SCARD', P .. 'lane:' .. id .. ':leased') >= lane.cap
  local at = math.max(ready, lane.announced_until, full and NOW + FULL_LANE_RECHECK or 0)
  if full then return 'indexed', at, false end
  return 'indexed', at, ready <= NOW, ready
end

-- Lanes whose place in the index may have changed, and of each whether it may have lost due jobs.
local touched, may_be_idle = {}, {}

local function note_touched(id, idle)
  if may_be_idle[id] == nil then touched[#touched + 1] = id end
  may_be_idle[id] = idle or may_be_idle[id] or false
end

-- Notes a lane whose place in the index may have changed.
local function touch(id) note_touched(id, true) end

-- Notes a lane that only has more free slots. If it has no due jobs now, it had none before, so it is in no index.
local function touch_freed(id) note_touched(id, false) end

-- A process sets no timer for a lane that is ready later than this (ms): a sweep will announce it.
local TIMED = 60000
-- A sweep announces a lane so long after its time (ms) if a process has set a timer for it.
local GRACE = 200

-- Corrects the places of the touched lanes, and writes the changes of lanes. Invariant 6: a lane is in the index
-- exactly while it has due jobs and is not held. Returns the lanes that have ready jobs and free slots. If the caller
-- sets `timers`, also returns [{lane, ms until it has ready jobs}] of those that have some within a minute.
local function reindex_touched(timers)
  local ready, timed, indexed, not_indexed, held, not_held = {}, {}, {}, {}, {}, {}
  for _, id in ipairs(touched) do
    local place, at, has_work, from = place_of(id)
    if has_work then
      ready[#ready + 1] = id
    elseif timers and from and from - NOW <= TIMED then
      timed[#timed + 1] = { id, from - NOW }
      at = from + GRACE
      change_lane(id, { announced_until = at })
    end
    if place == 'indexed' then
      indexed[#indexed + 1] = at
      indexed[#indexed + 1] = id
    elseif place == 'held' or may_be_idle[id] then
      not_indexed[#not_indexed + 1] = id
      local list = place == 'held' and held or not_held
      list[#list + 1] = id
    end
  end
  touched, may_be_idle = {}, {}
  if #indexed > 0 then redis.call('ZADD', P .. 'lanes', unpack(indexed)) end
  if #not_indexed > 0 then redis.call('ZREM', P .. 'lanes', unpack(not_indexed)) end
  if #held > 0 then redis.call('SADD', P .. 'held', unpack(held)) end
  if #not_held > 0 then redis.call('SREM', P .. 'held', unpack(not_held)) end
  write_lane_records()
  return ready, timed
end

-- Corrects the place of one lane, as reindex_touched() does.
local function reindex(id)
  touch(id)
  reindex_touched()
end
