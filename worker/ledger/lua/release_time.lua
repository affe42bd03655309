-- release_time: lets ledger time catch up with some or all of a jump that was held back.
-- A: held, held_at = the jump as the caller saw it
--    advance   by how much ledger time goes forward (ms)
--    left      what stays held back (ms); 0 ends the hold
--    measured  1 if a sweep has measured that the time of the rest did not pass
-- Returns 1, or 0 if the jump is not the one that the caller saw.
local at = num(redis.call('HGET', P .. 'meta', 'held_at'))
if HELD ~= A.held or (A.held > 0 and at ~= A.held_at) then return 0 end
redis.call('HSET', P .. 'meta', 'offset', NOW - STORE_NOW + A.advance, 'floor', NOW + A.advance, 'held', A.left,
  'measured', A.measured)
return 1
