-- needs: lane_index
-- gauge_lanes: adds up some of the lanes that have due jobs, for metrics.
-- A: index (`lanes`, or `held` for lanes on hold), cursor ('0' at first), count
-- Returns msgpack {cursor ('0' at the end), due, capped, resting, held, scheduled, oldest_due (ms; -1 for none),
-- closed, open, half}. A lane that changes meanwhile may be counted twice or not at all; the next sample is right
-- again.
--   due        may be tried now, and waits for a worker
--   capped     may be tried now, but its lane has reached its limit in flight or its rate limit
--   resting    its lane rests: an open or half-open circuit, or a receiver that asked for a pause
--   held       its lane is on hold
--   scheduled  due later
local sum = { due = 0, capped = 0, resting = 0, held = 0, scheduled = 0, oldest_due = -1,
              closed = 0, open = 0, half = 0 }

local function add(id)
  local due = P .. 'lane:' .. id .. ':due'
  local all = redis.call('ZCARD', due)
  local lane = policy_of(id)
  local circuit = lane.circuit ~= '' and lane.circuit or 'closed'
  sum[circuit] = sum[circuit] + 1
  if lane.hold ~= '' then
    sum.held = sum.held + all
    return
  end
  local first = first_due(id)
  local now = first and first <= NOW and redis.call('ZCOUNT', due, '-inf', NOW) or 0
  sum.scheduled = sum.scheduled + all - now
  if now == 0 then return end
  -- A lane does not rest only because the bucket of its rate limit is empty: the bucket refills very soon.
  if circuit ~= 'closed' or (lane.from > NOW and lane.tokens > 0) then
    sum.resting = sum.resting + now
    return
  end
  local full = lane.tokens == 0 or redis.call('SCARD', P .. 'lane:' .. id .. ':leased') >= lane.cap
  local place = full and 'capped' or 'due'
  sum[place] = sum[place] + now
  sum.oldest_due = math.max(sum.oldest_due, NOW - first)
end

local found
if A.index == 'held' then
  found = redis.call('SSCAN', P .. 'held', A.cursor, 'COUNT', A.count)
  for _, id in ipairs(found[2]) do add(id) end
else
  found = redis.call('ZSCAN', P .. 'lanes', A.cursor, 'COUNT', A.count)
  for i = 1, #found[2], 2 do add(found[2][i]) end
end
sum.cursor = found[1]
return cmsgpack.pack(sum)
