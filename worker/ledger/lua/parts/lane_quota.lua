-- needs: lane_policy
-- The quota of a lane: how many more of its jobs may be leased now.

-- Returns the lane's policy with `free`, the quota left across the fleet. A script reads each lane only once.
local lanes_read = {}
local function lane_state(id)
  local lane = lanes_read[id]
  if lane then return lane end
  lane = policy_of(id)
  lane.free = lane.cap - redis.call('SCARD', P .. 'lane:' .. id .. ':leased')
  lanes_read[id] = lane
  return lane
end

-- Takes attempts that begin off the lane's quota and its rate limit.
local function use_quota(lane, attempts)
  lane.free = lane.free - attempts
  if lane.rate > 0 then
    lane.tokens = lane.tokens - attempts
    lane.used_until = math.max(lane.used_until, NOW) + attempts * 1000 / lane.rate
    change_lane(lane.id, { used_until = string.format('%.3f', lane.used_until) })
  end
end
