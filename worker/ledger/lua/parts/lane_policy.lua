-- needs: lane_records
-- The policy of a lane: when it may be served, and how many attempts may begin.

-- The bucket of a rate limit (GCRA) holds as many attempts as this time allows (ms), and at least one.
local BUCKET = 100
-- An attempt may begin this much before its time (ms), at most half a gap. So a claim that comes late by less does not
-- lower the rate.
local EARLY = 50
-- A used-up bucket refills for at least this time (ms) before the lane is served again, so that one claim takes several
-- attempts.
local REFILL = 50

-- Returns how many attempts may begin now, and, if none may, the time when the lane is to be served again (else 0).
local function bucket_of(rate, used_until)
  local gap = 1000 / rate
  local from = math.max(used_until, NOW) + gap - math.max(gap + math.min(gap / 2, EARLY), BUCKET)
  if from > NOW then return 0, math.ceil(math.max(from, NOW + REFILL)) end
  return math.floor((NOW - from) / gap) + 1, 0
end

-- Returns a lane's policy as it is now:
--   cap     the most attempts in flight, across the fleet (A.lane_cap)
--   from    when the lane may be served next
--   tokens  how many attempts its rate limit allows now
--   known   whether this build understands its integration; if not, it is left to newer processes
-- A lane rests while its circuit is open. Then, until the circuit closes, one attempt at a time probes the receiver.
local function policy_of(id)
  local record = lane_record(id)
  local lane = { id = id, exists = record.scope and true or false, scope = record.scope, hold = record.hold or '',
                 cap = A.lane_cap, from = num(record.rest_until), revision = num(record.revision),
                 circuit = record.circuit or '', announced_until = num(record.announced_until),
                 rate = num(record.rate), used_until = num(record.used_until), tokens = math.huge,
                 known = num(record.minor) <= MINOR }
  if lane.circuit ~= '' then
    lane.cap = 1
    if lane.circuit == 'open' then lane.from = math.max(lane.from, num(record.circuit_until)) end
  end
  if lane.rate > 0 then
    local refilled
    lane.tokens, refilled = bucket_of(lane.rate, lane.used_until)
    lane.from = math.max(lane.from, refilled)
  end
  return lane
end
