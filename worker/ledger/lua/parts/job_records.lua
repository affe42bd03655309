-- needs: event_records, hashes
-- Jobs, as the API shows them.

-- Returns a job's record, its event's id and type, and when it is due (-1 if it is not); nil if it does not exist.
local function job_record(id)
  local job = hash(P .. 'job:' .. id)
  if not job then return nil end
  local event = event_head(job.event) or {}
  return { id = id, row = job, event_id = event.id or '', event_type = event.type or '',
           due = num(redis.call('ZSCORE', P .. 'lane:' .. job.lane .. ':due', id) or -1) }
end
