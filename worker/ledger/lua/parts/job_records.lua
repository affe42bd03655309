-- needs: hashes
-- Jobs, as the API shows them.

-- Returns a job's record, its event's id and type, and when it is due (-1 if it is not); nil if it does not exist.
local function job_record(id)
  local job = hash(P .. 'job:' .. id)
  if not job then return nil end
  local event = redis.call('HMGET', P .. 'event:' .. job.event, 'id', 'type')
  return { id = id, row = job, event_id = event[1] or '', event_type = event[2] or '',
           due = num(redis.call('ZSCORE', P .. 'lane:' .. job.lane .. ':due', id) or -1) }
end
