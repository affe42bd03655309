-- needs: backlog, job_opening, lane_quota
-- open: opens the jobs of observed events, at most 200 a call, and leases them at once if lane and process have room.
-- A: owner, call (its number), lease, room (the most jobs to lease), limits = {lane = its most jobs to lease},
--    announce, deadline, event_retention, backlog, backlog_bytes (the limits of a lane's due jobs; 0 bytes are no limit),
--    events = [{ref, size, last, trace?, jobs = [{id, lane}]}]
--      last   no further chunk of this event follows
--      trace  the trace context that the event gets if it has none
-- Returns msgpack {claimed = [{job lane revision scope ref attempt}], waiting = [lanes with due jobs that did not fit],
-- later = [{lane, ms until it has ready jobs}],
-- filled = [{lane, % of its backlog that it has passed, jobs, bytes}],
-- failed = [{ref, why}] of events that stay in the inbox}.

local room = A.room
local claimed, waiting, opened, filled, failed = {}, {}, {}, {}, {}
-- Lanes with jobs that were not leased at once.
local waits = {}

local function open_jobs_of(e)
  -- Only events that are still in the inbox count, so a late or doubled message has no effect.
  if redis.call('ZSCORE', P .. 'inbox', e.ref) then
    if e.trace then redis.call('HSETNX', P .. 'event:' .. e.ref, 'trace', e.trace) end
    for _, j in ipairs(e.jobs) do
      local lane = lane_state(j.lane)
      local wanted = lane.exists and lane.hold ~= 'disabled' and lane.hold ~= 'closing'
      local had, left = has_job(j.id, e.ref)
      if wanted and not had then
        if lane.ready == nil then
          local due = first_due(j.lane)
          lane.ready = due and due <= NOW or false
        end
        local now = room > 0 and lane.free > 0 and lane.tokens > 0 and lane.hold == '' and lane.from <= NOW
          and not lane.ready and not left and lane.circuit == '' and (A.limits[j.lane] or 1) > 0
        open_job(j.id, e.ref, j.lane, now and A.owner or nil, e.size)
        opened[j.lane] = (opened[j.lane] or 0) + 1
        if now then
          room = room - 1
          use_quota(lane, 1)
          if A.limits[j.lane] then A.limits[j.lane] = A.limits[j.lane] - 1 end
          claimed[#claimed + 1] = { job = j.id, lane = j.lane, revision = lane.revision, scope = lane.scope,
                                    ref = e.ref, attempt = 1 }
        else
          lane.ready = true
          waits[j.lane] = lane
        end
      end
    end
    if e.last then
      redis.call('ZREM', P .. 'inbox', e.ref)
      count(redis.call('EXISTS', P .. 'event:' .. e.ref .. ':jobs') == 1 and 'matched' or 'unmatched')
      if num(redis.call('HGET', P .. 'event:' .. e.ref, 'open')) <= 0 then retain_event(e.ref) end
    else
      -- No other process needs to observe the event while this one opens its jobs.
      redis.call('ZADD', P .. 'inbox', 'XX', NOW + A.announce, e.ref)
    end
  end
end

for _, e in ipairs(A.events) do
  -- An error from one event's damaged record must not affect the other events.
  local done, why = pcall(open_jobs_of, e)
  if not done then failed[#failed + 1] = { e.ref, type(why) == 'table' and why.err or tostring(why) } end
end
for id, lane in pairs(waits) do
  if lane.hold == '' and lane.from <= NOW and lane.tokens > 0 then waiting[#waiting + 1] = id end
  local percent, jobs, bytes = check_backlog(id, opened[id])
  if percent then filled[#filled + 1] = { id, percent, jobs, bytes } end
end
-- Retention drops the records of jobs; this removes their index entries, two for each new one.
for lane, n in pairs(opened) do
  -- No job of the lane, due or ended, is kept for longer.
  redis.call('PEXPIRE', P .. 'jobs:' .. lane, A.deadline + A.event_retention)
  for _, job in ipairs(redis.call('ZRANGE', P .. 'jobs:' .. lane, 0, 2 * n - 1)) do
    if redis.call('EXISTS', P .. 'job:' .. job) == 1 then break end
    redis.call('ZREM', P .. 'jobs:' .. lane, job)
  end
end
if #claimed > 0 then
  renew(A.owner)
  count('attempts', #claimed)
end
local _, later = write_lanes(true)
write_counters()
return cmsgpack.pack({ claimed = claimed, waiting = waiting, later = later, filled = filled, failed = failed })
