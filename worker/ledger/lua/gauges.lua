-- gauges: the ledger's totals for metrics; only one process at a time, the holder, gets them.
-- A: owner, hold (how long no other process gets the totals, ms)
-- Returns msgpack {now (ms, with fractions), holder = 0 | 1}, for the holder also {counters = [name, value, …], inbox,
-- pending, leased, rejected, backlog_bytes, workers (whose lease has not run out)}. All are of one moment, so they balance.
local key = P .. 'gauges'
local reply = { now = NOW + CLOCK[2] % 1000 / 1000, holder = 0 }
local holder = redis.call('GET', key)
if holder and holder ~= A.owner then return cmsgpack.pack(reply) end
redis.call('SET', key, A.owner, 'PX', A.hold)
reply.holder = 1
reply.counters = redis.call('HGETALL', P .. 'counters')
reply.inbox = redis.call('ZCARD', P .. 'inbox')
reply.pending = redis.call('ZCARD', P .. 'pending')
reply.rejected = redis.call('LLEN', P .. 'rejected')
reply.backlog_bytes = num(redis.call('GET', P .. 'backlog-bytes'))
reply.workers = redis.call('ZCOUNT', P .. 'owners', '(' .. string.format('%.0f', NOW), '+inf')
reply.leased = 0
-- Dead processes count too: their jobs stay leased until a sweep takes them over.
for _, owner in ipairs(redis.call('ZRANGE', P .. 'owners', 0, -1)) do
  reply.leased = reply.leased + redis.call('SCARD', P .. 'owner:' .. owner .. ':leases')
end
return cmsgpack.pack(reply)
