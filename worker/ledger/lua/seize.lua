-- seize: takes over the leases of dead processes, so that their attempts can be settled as lost.
-- A: owner, lease, limit
-- Answers {meta, raw, raw ...} as claim does, without `more`; meta.away = 1 where every lease was extended instead.
local meta = { jobs = {}, events = {}, away = 0 }
local reply = { '' }
local swept = redis.call('GET', P .. 'swept')
redis.call('SET', P .. 'swept', NOW)
if swept and NOW - num(swept) > A.lease / 2 then
  -- Nobody swept for half a lease: the store was away, and with it everybody's heartbeat.
  for _, owner in ipairs(redis.call('ZRANGE', P .. 'owners', 0, -1)) do renew(owner) end
  meta.away = 1
else
  local room = A.limit
  for _, dead in ipairs(redis.call('ZRANGE', P .. 'owners', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, 10)) do
    if dead ~= A.owner then
      local leases = P .. 'owner:' .. dead .. ':leases'
      for _, job in ipairs(room > 0 and redis.call('SRANDMEMBER', leases, room) or {}) do
        room = room - 1
        redis.call('SREM', leases, job)
        local key = P .. 'job:' .. job
        local j = redis.call('HMGET', key, 'event', 'lane', 'state', 'owner', 'attempts', 'base', 'epoch', 'lost')
        if j[3] == 'pending' and j[4] == dead then
          redis.call('HSET', key, 'owner', A.owner)
          redis.call('SADD', P .. 'owner:' .. A.owner .. ':leases', job)
          meta.jobs[#meta.jobs + 1] = { job = job, lane = j[2], revision = lane_state(j[2]).revision,
            scope = lane_state(j[2]).scope or '', ref = j[1], attempt = num(j[5]), base = num(j[6]), epoch = num(j[7]), lost = num(j[8]) }
          send_event(meta, reply, j[1])
        end
      end
      if redis.call('SCARD', leases) == 0 then redis.call('ZREM', P .. 'owners', dead) end
    end
  end
  if #meta.jobs > 0 then renew(A.owner) end
end
reply[1] = cmsgpack.pack(meta)
return reply
