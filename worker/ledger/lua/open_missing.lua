-- needs: backlog, change_records, event_records, job_opening, lane_policy
-- open_missing: opens jobs, due now, of events that were observed while the integration did not exist or was disabled.
-- A: lane, jobs = [{id ref}], deadline, backlog, backlog_bytes,
--    the record of the change, which is written if a job is opened (see change_records.lua)
--    dry = 1 only counts them, all of them, because the backlog may be shorter later
-- Returns msgpack {opened, full = 1 if the lane's backlog is full and some jobs were left out}.
local reply = { opened = 0, full = 0 }
local lane = policy_of(A.lane)
if lane.exists and lane.hold ~= 'closing' then
  for _, j in ipairs(A.jobs) do
    -- Retention may have dropped an ended job while another job keeps the event. The event's list still names it.
    local had = has_job(j.id, j.ref) or listed(j.id, j.ref)
    local event = not had and event_head(j.ref)
    if event then event.record = redis.call('STRLEN', P .. 'event:' .. j.ref) end
    if event and not event.erased and not redis.call('ZSCORE', P .. 'inbox', j.ref) then
      if A.dry == 0 and not has_room(A.lane, event.record) then
        reply.full = 1
        break
      end
      reply.opened = reply.opened + 1
      if A.dry == 0 then
        list_of_lane(j.id, A.lane)
        list_of_event(j.ref, { j.id })
        open_job(j.id, { ref = j.ref, size = event.record, minor = event.minor }, A.lane, nil, attempts_before(j.id))
        write_collected()
      end
    end
  end
end
if A.dry == 0 and reply.opened > 0 then record_change() end
write_lanes()
write_counters()
return cmsgpack.pack(reply)
