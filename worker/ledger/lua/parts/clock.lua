-- The format of the ledger, and its time. scripts.py puts this part in front of every script that may write.
-- FORMAT and MINOR, which scripts.py defines, are the format and the minor version that this build understands.
--
-- Ledger time is Redis's TIME plus an offset, and never goes back. Fields of `meta`:
--   offset    what is added to TIME (ms)
--   floor     a recent ledger time, at most TICK behind
--   held      how much of a forward jump of TIME is held back (ms), see below
--   held_at   the ledger time when the last jump was held back
--   measured  1 if a sweep has measured that the time of the jump did not pass
--   watch     boot id, CLOCK_BOOTTIME (ms) and ledger time of the last sweep
-- If TIME steps back, the offset grows by as much, so ledger time goes on from where it was. A leap of more than JUMP
-- may be a wrong clock, or a time in which no process called. Until it is explained, it is held back: ledger time goes
-- on from where it was, and sweeps end, expire and take over nothing. sweeper.py and edw clock decide (release_time).

-- Steps back of less than this are not noticed (ms); the floor is written at most once in this time.
local TICK = 20
-- The longest leap of TIME that needs no explanation (ms).
local JUMP = 60000

local META =
  redis.call('HMGET', P .. 'meta', 'format', 'offset', 'floor', 'held', 'minor', 'observed_until', 'known')
if META[1] ~= FORMAT then
  if META[1] then return redis.error_reply('EDWFORMAT ' .. META[1]) end
  redis.call('HSET', P .. 'meta', 'format', FORMAT)
end
local CLOCK = redis.call('TIME')
local STORE_NOW = CLOCK[1] * 1000 + math.floor(CLOCK[2] / 1000)
local NOW = STORE_NOW + num(META[2])
-- What is held back of a jump that nothing explains yet (ms); 0 is the rule.
local HELD = num(META[4])
-- How long the identity of a forgotten event is remembered (ms); 0 without a history: see known_ids.lua.
local KNOWN = num(META[7])

-- Writes the floor, and corrects the offset if TIME has stepped back or leapt forward.
local FLOOR = num(META[3])
if NOW < FLOOR or NOW >= FLOOR + TICK then
  local leap, kept = FLOOR > 0 and NOW - FLOOR or 0, {}
  if leap < 0 then
    -- If TIME had jumped before, this corrects it.
    if HELD > 0 then
      HELD = HELD + leap > JUMP and HELD + leap or 0
      kept = { 'held', HELD }
    end
    NOW = FLOOR + TICK
  elseif leap > JUMP then
    -- TIME may return to where it was before it stepped back.
    local returned = math.min(leap - TICK, math.max(0, num(META[2])))
    leap, NOW = leap - returned, NOW - returned
    if leap > JUMP then
      HELD, NOW = HELD + leap - TICK, FLOOR + TICK
      kept = { 'held', HELD, 'held_at', NOW, 'measured', 0 }
    end
  end
  redis.call('HSET', P .. 'meta', 'floor', NOW, 'offset', NOW - STORE_NOW, unpack(kept))
end
