-- needs: counters, due_jobs, event_replies, lane_quota, leases
-- claim: leases due jobs of the named lanes in the order given, each lane up to its quota.
-- A: owner, call (its number), lease, room (the most jobs), lanes, limits = {lane = its most jobs}, byte_budget
-- Returns {meta, record, record ...}; meta = {jobs = [[job, lane, revision, scope, ref, attempt, base, epoch, lost, trace?]],
-- events = [{ref}] (one for each record), more = [lanes that have ready jobs left],
-- later = [{lane, ms until it has ready jobs}], newer = how many lanes and jobs were left to newer processes}. The budget
-- counts an event as often as jobs are leased, by the bytes of its record.

-- A job that this build does not understand is due again after this time (ms).
local NEWER_PAUSE = 5000
local room, bytes = A.room, 0
local meta = { jobs = {}, events = {}, newer = 0 }
local reply = { '' }
for _, id in ipairs(A.lanes) do
  local lane = lane_state(id)
  -- A lane that this build does not understand stays announced, for a newer process.
  if lane.known then
    change_lane(id, { announced = false, announced_until = false })
    touch(id)
  else
    meta.newer = meta.newer + 1
  end
  if lane.known and lane.exists and lane.hold == '' and lane.from <= NOW then
    local quota = math.min(room, lane.free, lane.tokens, A.limits[id] or room)
    local begun = 0
    local due = {}
    if quota > 0 and bytes <= A.byte_budget then
      due = redis.call('ZRANGE', P .. 'lane:' .. id .. ':due', '-inf', NOW, 'BYSCORE', 'LIMIT', 0, quota)
    end
    for _, job in ipairs(due) do
      if bytes > A.byte_budget then break end
      local key = P .. 'job:' .. job
      local j = redis.call('HMGET', key, 'event', 'state', 'attempts', 'base', 'epoch', 'lost', 'size', 'trace', 'minor')
      local known = num(j[9]) <= MINOR
      if known then
        later('ZREM', P .. 'lane:' .. id .. ':due', job)
        take_from_backlog(id, j[7])
      else
        later('ZADD', P .. 'lane:' .. id .. ':due', NOW + NEWER_PAUSE, job)
        meta.newer = meta.newer + 1
      end
      if known and j[2] == 'pending' then
        local ref = j[1]
        local attempt = num(j[3]) + 1
        redis.call('HSET', key, 'attempts', attempt, 'owner', A.owner, 'call', A.call)
        lease(job, id, A.owner)
        room, begun = room - 1, begun + 1
        meta.jobs[#meta.jobs + 1] = { job, id, lane.revision, lane.scope, ref, attempt, num(j[4]), num(j[5]), num(j[6]),
          j[8] or nil }
        if send_event(meta, reply, ref) then bytes = bytes + num(j[7]) end
      end
    end
    if begun > 0 then use_quota(lane, begun) end
    -- The circuit has been open for long enough: the job that was claimed now is the probe.
    if lane.circuit == 'open' and #due > 0 then change_lane(id, { circuit = 'half' }) end
  end
end
if #meta.jobs > 0 then
  renew(A.owner)
  count('attempts', #meta.jobs)
end
meta.more, meta.later = write_lanes(true)
write_counters()
reply[1] = cmsgpack.pack(meta)
return reply
