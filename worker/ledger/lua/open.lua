-- needs: backlog, job_opening, lane_quota, retention
-- open: opens the jobs of observed events, at most MAX_JOBS_PER_CALL (policy.py), and leases them at once if lane and process
-- have free slots.
-- A: owner, call (its number), lease, room (the most jobs to lease), limits = {lane = its most jobs to lease},
--    announce, deadline, backlog, backlog_bytes (the limits of a lane's due jobs; 0 bytes are no limit),
--    events = [{ref, minor, size, last, trace?, filtered?, quiet?, scope?, version?, jobs = [ids], lanes = [the lane of each job]}]
--      last   no further chunk of this event follows
--      filtered  how many integrations observe the event and do not get it, because of their filters
--      quiet  1 for a lifecycle event
--      trace  the trace context of the attempts, for an event that has none
--      version  the version of the scope's integrations that the jobs come from, unless the event was loaded with it
-- Returns msgpack {claimed = [[job, lane, revision, scope, ref, attempt]], waiting = [lanes with due jobs that did not fit],
-- later = [{lane, ms until it has ready jobs}],
-- filled = [{lane, % of its backlog that it has passed, jobs, bytes}],
-- failed = [{ref, why}] of events that stay in the inbox, outdated = [refs of events that stay there, because the integrations
-- of their scope have changed]}.

local room = A.room
local claimed, waiting, opened, filled, failed, outdated = {}, {}, {}, {}, {}, {}
-- Lanes with jobs that were not leased at once.
local waits = {}
-- Lanes to which more than lifecycle events were added.
local loud = {}

local refs, ids = {}, {}
for i, e in ipairs(A.events) do
  refs[i] = e.ref
  for _, id in ipairs(e.jobs) do ids[#ids + 1] = id end
end
local in_inbox = #refs > 0 and redis.call('ZMSCORE', P .. 'inbox', unpack(refs)) or {}
local some_known, opened_here = are_known(ids), {}

-- Returns whether a job is to be opened; then it is in the list of its lane. What is damaged fails here.
local function is_wanted(j, ref)
  if opened_here[j.id] then return false end
  local lane = lane_state(j.lane)
  if not lane.exists or lane.hold == 'disabled' or lane.hold == 'closing' then return false end
  if lane.ready == nil then
    local due = first_due(j.lane)
    lane.ready = due and due <= NOW or false
  end
  if some_known then
    if has_job(j.id, ref) then return false end
    j.before = attempts_before(j.id)
  end
  list_of_lane(j.id, j.lane)
  opened_here[j.id] = true
  return true
end

local function open_or_lease(e, j)
  local lane = lane_state(j.lane)
  local now = room > 0 and lane.free > 0 and lane.tokens > 0 and lane.hold == '' and lane.from <= NOW
    and lane.known and not lane.ready and not j.before and lane.circuit == '' and (A.limits[j.lane] or 1) > 0
  open_job(j.id, e, j.lane, now and A.owner or nil, j.before)
  opened[j.lane] = (opened[j.lane] or 0) + 1
  if not e.quiet then loud[j.lane] = true end
  if not now then
    lane.ready = true
    waits[j.lane] = lane
    return
  end
  room = room - 1
  use_quota(lane, 1)
  if A.limits[j.lane] then A.limits[j.lane] = A.limits[j.lane] - 1 end
  claimed[#claimed + 1] = { j.id, j.lane, lane.revision, lane.scope, e.ref, 1 }
end

-- Events that this script has taken out of the inbox.
local observed = {}
local function open_jobs_of(e)
  local wanted, problem = {}, nil
  for i, id in ipairs(e.jobs) do
    local j = { id = id, lane = e.lanes[i] }
    -- A damaged lane must not keep a job from the others.
    local known, is = pcall(is_wanted, j, e.ref)
    if not known then problem = is end
    if known and is then wanted[#wanted + 1] = j end
  end
  if #wanted > 0 then
    local wanted_ids = {}
    for i, j in ipairs(wanted) do wanted_ids[i] = j.id end
    list_of_event(e.ref, wanted_ids)
    for _, j in ipairs(wanted) do open_or_lease(e, j) end
  end
  if problem then error(problem, 0) end
  if e.last then
    later('ZREM', P .. 'inbox', e.ref)
    observed[e.ref] = true
    local has_jobs = #wanted > 0 or first_job(e.ref) ~= ''
    count(has_jobs and 'matched' or e.filtered and 'filtered' or 'unmatched')
    if e.filtered then count('left_out', e.filtered) end
    if #wanted == 0 and num(redis.call('HGET', P .. 'event:' .. e.ref .. ':progress', 'open')) <= 0 then
      retain_event(e.ref)
    end
  else
    -- No other process needs to observe the event while this one opens its jobs.
    later('ZADD', P .. 'inbox', NOW + A.announce, e.ref)
  end
end

local versions = {}
-- Returns whether the integrations of an event's scope have changed since its jobs were chosen.
local function is_outdated(e)
  if not e.version then return false end
  local version = versions[e.scope] or num(redis.call('HGET', P .. 'scope:' .. e.scope, 'version'))
  versions[e.scope] = version
  return version ~= e.version
end

for i, e in ipairs(A.events) do
  -- Only events that are still in the inbox count, so a late or doubled message has no effect.
  if in_inbox[i] and not observed[e.ref] and is_outdated(e) then
    outdated[#outdated + 1] = e.ref
  elseif in_inbox[i] and not observed[e.ref] then
    -- An error from one event's damaged record must not affect the other events.
    local done, why = pcall(open_jobs_of, e)
    if not done then failed[#failed + 1] = { e.ref, type(why) == 'table' and why.err or tostring(why) } end
  end
end
write_collected()
for id, lane in pairs(waits) do
  if lane.hold == '' and lane.from <= NOW and lane.tokens > 0 then waiting[#waiting + 1] = id end
  local percent, jobs, bytes = check_backlog(id, opened[id], not loud[id])
  if percent then filled[#filled + 1] = { id, percent, jobs, bytes } end
end
if #claimed > 0 then
  renew(A.owner)
  count('attempts', #claimed)
end
write_ends()
local _, timed = write_lanes(true)
write_counters()
return cmsgpack.pack({ claimed = claimed, waiting = waiting, later = timed, filled = filled, failed = failed,
                       outdated = outdated })
