-- needs: early_retries
-- sweep: finds overdue events and lanes, to be announced. The cost grows with what is due, not with what is stored.
-- A: announce, limit
-- It postpones the next announcement of each, so that at most one wake-up for each is under way.
-- Returns msgpack {events = [{id tries}], lanes = [{id tries}], wait = ms until the next is due, or -1,
-- unannounced = [integrations that the fleet has disabled and not yet announced], observed = true if a process is registered
-- that observes new events at once (join_observers), notices = [notices that are not published: see notices.lua],
-- exhausted = [{lane number since job why}: jobs that failed for good and are to be reported now], alone = true if no other
-- process is in the fleet}.
-- Notices of one reply.
local NOTICES = 10
local function put_off(tries)
  return NOW + A.announce * math.min(2 ^ (tries - 1), 4)
end
local reply = { events = {}, lanes = {}, wait = -1, unannounced = redis.call('SRANDMEMBER', P .. 'unannounced', 10) }
reply.notices = redis.call('LRANGE', P .. 'notices', 0, NOTICES - 1)
reply.exhausted = {}
for i, id in ipairs(redis.call('ZRANGE', P .. 'exhausted', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, NOTICES)) do
  local lane = lane_record(id)
  reply.exhausted[i] = { lane = id, number = num(lane.exhausted), since = num(lane.exhausted_since),
                         job = lane.exhausted_job or '', why = lane.exhausted_why or '' }
end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'hastening', 2)) do retry_early(id) end
reindex_touched()
for _, ref in ipairs(redis.call('ZRANGE', P .. 'inbox', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, A.limit)) do
  local tries = 1
  if redis.call('EXISTS', P .. 'event:' .. ref) == 1 then
    tries = redis.call('HINCRBY', P .. 'event:' .. ref .. ':progress', 'announced', 1)
  end
  redis.call('ZADD', P .. 'inbox', put_off(tries), ref)
  reply.events[#reply.events + 1] = { id = ref, tries = tries }
end
for _, id in ipairs(redis.call('ZRANGE', P .. 'lanes', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, A.limit)) do
  local lane = lane_record(id)
  if lane.scope then
    local tries = num(lane.announced) + 1
    change_lane(id, { announced = tries, announced_until = put_off(tries) })
    reply.lanes[#reply.lanes + 1] = { id = id, tries = tries }
  end
  touch(id)
end
reindex_touched()
for _, index in ipairs({ 'inbox', 'lanes' }) do
  local head = redis.call('ZRANGE', P .. index, 0, 0, 'WITHSCORES')
  if head[1] then
    local wait = math.max(0, tonumber(head[2]) - NOW)
    if reply.wait < 0 or wait < reply.wait then reply.wait = wait end
  end
end
if num(META[6]) > NOW then reply.observed = true end
if redis.call('ZCARD', P .. 'owners') <= 1 then reply.alone = true end
if redis.call('EXISTS', P .. 'hastening') == 1 then reply.wait = 0 end
return cmsgpack.pack(reply)
