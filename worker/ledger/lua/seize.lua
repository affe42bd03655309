-- needs: event_replies, lane_quota, lease_returns
-- seize: takes over attempts that no process carries out, so that they can be settled as lost: those of dead processes,
-- and this process's own leases without an attempt in flight (A.idle). A lease whose claim got no reply is given back
-- instead, because its attempt never began.
-- A: owner, lease, limit, byte_budget,
--    home, dead = [processes of this home that have died for certain: see process_identity.py]; their leases end now
--    idle = [{job, call (the call that leased it), answered (whether its reply arrived)}]
-- Returns {meta, record, record ...} as claim does, without `more`; meta.away = 1 if Redis was away: then every lease
-- except those of A.dead goes on for at least half its length, and only those of A.dead are taken over.
local meta = { jobs = {}, events = {}, away = 0 }
local reply = { '' }

local bytes, room = 0, A.limit

local function take(job, from)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'event', 'lane', 'state', 'owner', 'attempts', 'base', 'epoch', 'lost', 'size', 'trace')
  if j[3] ~= 'pending' or j[4] ~= from then return end
  redis.call('HSET', key, 'owner', A.owner, 'call', 0)
  redis.call('SADD', P .. 'owner:' .. A.owner .. ':leases', job)
  local lane = lane_state(j[2])
  meta.jobs[#meta.jobs + 1] = { job, j[2], lane.revision, lane.scope or '', j[1], num(j[5]), num(j[6]), num(j[7]), num(j[8]),
    j[10] or nil }
  room = room - 1
  if send_event(meta, reply, j[1]) then bytes = bytes + num(j[9]) end
end

local function end_idle(lease)
  local j = redis.call('HMGET', P .. 'job:' .. lease.job, 'call', 'attempts')
  -- Another call has leased the job by now, so its attempt may be in flight.
  if num(j[1]) ~= lease.call then return end
  if lease.answered then
    take(lease.job, A.owner)
  else
    give_back(lease.job, A.owner, num(j[2]), lease.call)
  end
end

local function take_all(dead)
  local leases = P .. 'owner:' .. dead .. ':leases'
  for _, job in ipairs(room > 0 and redis.call('SRANDMEMBER', leases, room) or {}) do
    if bytes > A.byte_budget then break end
    redis.call('SREM', leases, job)
    take(job, dead)
  end
  if redis.call('SCARD', leases) == 0 then
    redis.call('ZREM', P .. 'owners', dead)
    redis.call('SREM', P .. 'home:' .. A.home, dead)
  end
end

-- Only a member of this process's own home can be known to be dead. Its score keeps it dead if this call cannot take
-- all its leases.
local died = {}
for _, owner in ipairs(A.dead) do
  if redis.call('SISMEMBER', P .. 'home:' .. A.home, owner) == 1 then
    redis.call('ZADD', P .. 'owners', 1, owner)
    died[owner] = true
    take_all(owner)
  end
end
local swept = redis.call('GET', P .. 'swept')
redis.call('SET', P .. 'swept', NOW)
if swept and NOW - num(swept) > A.lease / 2 then
  -- No process swept for half a lease. Perhaps Redis was away, so no process could write its heartbeat; it can now.
  for _, owner in ipairs(redis.call('ZRANGE', P .. 'owners', 0, -1)) do
    if not died[owner] then redis.call('ZADD', P .. 'owners', 'GT', NOW + A.lease / 2, owner) end
  end
  meta.away = 1
else
  -- While a jump of TIME is held back (see clock.lua), no process is taken for dead.
  local most = HELD > 0 and 0 or 10
  for _, dead in ipairs(redis.call('ZRANGE', P .. 'owners', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, most)) do
    if dead ~= A.owner then take_all(dead) end
  end
  for _, lease in ipairs(A.idle) do
    if room > 0 and bytes <= A.byte_budget then end_idle(lease) end
  end
end
if #meta.jobs > 0 then renew(A.owner) end
write_ends()
write_lanes()
write_counters()
reply[1] = cmsgpack.pack(meta)
return reply
