-- needs: backlog, job_opening, lane_policy
-- open_missing: opens jobs, due now, of events that were observed while the integration did not exist or was disabled.
-- A: lane, jobs = [{id ref}], deadline, backlog, backlog_bytes, event_retention,
--    dry = 1 only counts them, all of them, because the backlog may be shorter later
-- Returns msgpack {opened, full = 1 if the lane's backlog is full and some jobs were left out}.
local reply = { opened = 0, full = 0 }
local lane = policy_of(A.lane)
if lane.exists and lane.hold ~= 'closing' then
  for _, j in ipairs(A.jobs) do
    local event = P .. 'event:' .. j.ref
    -- Retention may have dropped an ended job while another job keeps the event. The event's list still names it.
    local e = redis.call('HMGET', event, 'acceptance', 'minor')
    local acceptance, minor = num(e[1]), num(e[2])
    local had = has_job(j.id, acceptance) or redis.call('LPOS', event .. ':jobs', j.id)
    if not had and redis.call('HEXISTS', event, 'raw') == 1 and not redis.call('ZSCORE', P .. 'inbox', j.ref) then
      local size = redis.call('HSTRLEN', event, 'raw')
      if A.dry == 0 and not has_room(A.lane, size) then
        reply.full = 1
        break
      end
      reply.opened = reply.opened + 1
      if A.dry == 0 then
        keep_event(j.ref)
        open_job(j.id, { ref = j.ref, size = size, acceptance = acceptance, minor = minor }, A.lane, nil)
      end
    end
  end
end
write_lanes()
write_counters()
return cmsgpack.pack(reply)
