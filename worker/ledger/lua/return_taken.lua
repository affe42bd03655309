-- return_taken: moves messages that were taken and not accepted back to the plain queue, in their old order: those of
-- the named process, or those of all dead processes.
-- A: owner, or '' for all dead processes (each message of theirs is counted, because it may have killed them);
--    list, limit, suspect_for
-- Returns how many messages went back, at most A.limit.
local takers = A.owner ~= '' and { A.owner } or redis.call('ZRANGE', P .. 'takers', 0, -1)
local moved = 0

-- Counts a dead reader for each message. Equal messages count once, because they have the same effect.
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
  -- While a jump of TIME is held back (see clock.lua), no process is taken for dead.
  if taker == A.owner or (lease_end <= NOW and HELD == 0) then
    local taken = P .. 'intake-taken:' .. taker
    if A.owner == '' and num(redis.call('ZSCORE', P .. 'takers', taker)) > 0 then
      suspect(redis.call('LRANGE', taken, 0, -1))
    end
    -- If the process is not dead after all, it can no longer accept this batch.
    redis.call('ZADD', P .. 'takers', 'XX', 0, taker)
    while moved < A.limit and redis.call('LMOVE', taken, A.list, 'LEFT', 'RIGHT') do moved = moved + 1 end
    if redis.call('EXISTS', taken) == 0 then redis.call('ZREM', P .. 'takers', taker) end
  end
end
return moved
