-- gauges: what the ledger holds, for the metrics of one process at a time.
-- A: owner, hold (ms for which no other process gets an answer)
-- Returns msgpack {now (ms, with fractions), holder = 0 | 1}, and to the holder also {counters = [name, value, …],
-- inbox, pending, leased, rejected, workers = those that renewed their lease in time}: of one moment, so that they balance.
local key = P .. 'gauges'
local reply = { now = CLOCK[1] * 1000 + CLOCK[2] / 1000, holder = 0 }
local holder = redis.call('GET', key)
if holder and holder ~= A.owner then return cmsgpack.pack(reply) end
redis.call('SET', key, A.owner, 'PX', A.hold)
reply.holder = 1
reply.counters = redis.call('HGETALL', P .. 'counters')
reply.inbox = redis.call('ZCARD', P .. 'inbox')
reply.pending = redis.call('ZCARD', P .. 'pending')
reply.rejected = redis.call('LLEN', P .. 'rejected')
reply.workers = redis.call('ZCOUNT', P .. 'owners', '(' .. string.format('%.0f', NOW), '+inf')
reply.leased = 0
-- The dead too: what they had under way is leased until somebody reaps it.
for _, owner in ipairs(redis.call('ZRANGE', P .. 'owners', 0, -1)) do
  reply.leased = reply.leased + redis.call('SCARD', P .. 'owner:' .. owner .. ':leases')
end
return cmsgpack.pack(reply)
