-- needs: pulse
-- attend: shows that a process lives, which minor version it understands, and how much time it has seen pass. Workers
-- and API processes call it all the time, so that ledger time is known to pass.
-- A: owner ('' only reads), kind (worker or api), lifetime (how long the announcement holds, ms),
--    leaving = 1 if the process ends
--    watch = 'boot id, CLOCK_BOOTTIME (ms)' of the process
-- Returns msgpack {now, store (Redis's TIME), offset, held, held_at, measured = 0 | 1, watch (of an earlier sweep),
-- minor (in force)}; times are ms. For the fields of `meta`, see clock.lua.
-- The minor version in force is what every living process understands. It changes only with the members.
local members, member = P .. 'members', MINOR .. ' ' .. A.kind .. ' ' .. A.owner
local changed = 0
if A.owner ~= '' then
  if A.leaving == 1 then
    changed = redis.call('ZREM', members, member)
  else
    changed = redis.call('ZADD', members, NOW + A.lifetime, member)
  end
  changed = changed + redis.call('ZREMRANGEBYSCORE', members, '-inf', NOW)
end
-- Nobody has used a new ledger, so no process of an older version reads it.
local minor = META[5] and num(META[5]) or MINOR
if changed > 0 then
  local least = math.huge
  for _, each in ipairs(redis.call('ZRANGE', members, 0, -1)) do
    least = math.min(least, num(string.match(each, '^%d+')))
  end
  -- Without a process, what the last one understood stays in force.
  if least < math.huge then minor = least end
end
local m = redis.call('HMGET', P .. 'meta', 'held_at', 'measured', 'watch')
if A.owner ~= '' then
  note_pulse()
  -- While a jump is held back, what was measured before it must stay.
  local watch = HELD > 0 and (m[3] or '') or A.watch .. ' ' .. string.format('%.0f', NOW)
  redis.call('HSET', P .. 'meta', 'minor', minor, 'watch', watch)
end
return cmsgpack.pack({ now = NOW, store = STORE_NOW, offset = NOW - STORE_NOW, held = HELD, held_at = num(m[1]),
                       measured = num(m[2]), watch = m[3] or '', minor = minor })
