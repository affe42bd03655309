-- needs: backlog
-- cut_backlogs: if all backlogs together take more than `share` bytes of Redis's memory, cancels the oldest jobs of the
-- largest, one chunk a call.
-- A: share, limit (the most jobs)
-- Returns msgpack {lane, jobs (that it cancelled), bytes (that this backlog took before), sum (of all backlogs before)}.
local reply = { lane = '', jobs = 0, bytes = 0, sum = num(redis.call('GET', P .. 'backlog-bytes')) }
local over = reply.sum - A.share
local largest = redis.call('ZRANGE', P .. 'backlogs', 0, 0, 'REV')[1]
if not largest then
  redis.call('DEL', P .. 'backlog-bytes')
  return cmsgpack.pack(reply)
end
-- While a jump of TIME is held back (see clock.lua), nothing is ended.
if over <= 0 or HELD > 0 then return cmsgpack.pack(reply) end
local jobs, bytes = redis.call('ZCARD', P .. 'lane:' .. largest .. ':due'), backlog_bytes(largest)
if jobs == 0 then
  -- The count is wrong, because Redis has lost keys.
  change_backlog_bytes(largest, -bytes)
  redis.call('ZREM', P .. 'backlogs', largest)
else
  reply.lane, reply.bytes = largest, bytes
  reply.jobs = cancel_oldest(largest, math.min(A.limit, math.ceil(over / (bytes / jobs))), 'ledger_overflow')
end
write_ends()
write_lanes()
write_counters()
return cmsgpack.pack(reply)
