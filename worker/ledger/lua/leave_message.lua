-- leave_message: puts the oldest message that a process has taken at the end of the plain queue, for a newer process.
-- A: owner, batch, list, taken = how many messages the process has on its list, by its own count
-- Returns 1. Returns nil, and does nothing, if the messages do not belong to the process any more (see accept_taken).
local taken = P .. 'intake-taken:' .. A.owner
if num(redis.call('ZSCORE', P .. 'takers', A.owner)) ~= A.batch or redis.call('LLEN', taken) ~= A.taken then
  return false
end
redis.call('LMOVE', taken, A.list, 'RIGHT', 'LEFT')
if A.taken <= 1 then redis.call('ZREM', P .. 'takers', A.owner) end
return 1
