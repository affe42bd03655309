-- return_taken: messages that processes have taken and not accepted go back to the plain queue, in their old order:
-- those of the named process, else those of all that are dead.
-- A: owner, or '' for the dead, who may have died of their messages; list, limit, suspect_for
-- Returns how many went back, at most A.limit.
local takers = A.owner ~= '' and { A.owner } or redis.call('ZRANGE', P .. 'takers', 0, -1)
local moved = 0

-- Messages of the same bytes count as one: they are as deadly as each other.
local function suspect(messages)
  local seen = {}
  for _, message in ipairs(messages) do
    local digest = redis.sha1hex(message)
    if not seen[digest] then redis.call('HINCRBY', P .. 'lost-messages', digest, 1) end
    seen[digest] = true
  end
  redis.call('PEXPIRE', P .. 'lost-messages', A.suspect_for)
end

for _, taker in ipairs(takers) do
  local lease_end = num(redis.call('ZSCORE', P .. 'owners', taker))
  if taker == A.owner or lease_end <= NOW then
    local taken = P .. 'intake-taken:' .. taker
    if A.owner == '' and num(redis.call('ZSCORE', P .. 'takers', taker)) > 0 then
      suspect(redis.call('LRANGE', taken, 0, -1))
    end
    -- Not dead after all, it accepts nothing of this batch any more.
    redis.call('ZADD', P .. 'takers', 'XX', 0, taker)
    while moved < A.limit and redis.call('LMOVE', taken, A.list, 'LEFT', 'RIGHT') do moved = moved + 1 end
    if redis.call('EXISTS', taken) == 0 then redis.call('ZREM', P .. 'takers', taker) end
  end
end
return moved
