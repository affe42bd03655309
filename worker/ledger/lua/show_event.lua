-- needs: event_jobs, job_records
-- show_event: the history of an event: whether it is in the inbox, and a page of its jobs, each with its last log.
-- A: ref, offset, limit
-- Returns {msgpack {failures, waiting = 1 in the inbox, total, jobs = [{id row event_id event_type due
-- logs = [] or [its member]}], forgotten = [ids of jobs of the page that are no longer kept], listed = the ids of all
-- jobs of the page, one behind the other}, record (see event_records.lua), record of a log ...}; nil if retention has dropped the event, or it
-- never existed.
local record = redis.call('GET', P .. 'event:' .. A.ref)
if not record then return nil end
local reply = { '', record }
local function last_logs(id, attempts)
  -- The attempt in flight has no log yet; then the one before has the last log.
  for attempt = attempts, math.max(1, attempts - 1), -1 do
    local log = redis.call('GET', P .. 'log:' .. id .. ':' .. attempt)
    if log then
      reply[#reply + 1] = log
      return { id .. ':' .. attempt }
    end
  end
  return {}
end

local jobs, forgotten = {}, {}
local ids = some_jobs(A.ref, A.offset, A.limit)
for first = 1, #ids, ID_BYTES do
  local id = string.sub(ids, first, first + ID_BYTES - 1)
  local job = job_record(id)
  if job then
    job.logs = last_logs(id, num(job.row.attempts))
    jobs[#jobs + 1] = job
  else
    forgotten[#forgotten + 1] = id
  end
end
reply[1] = cmsgpack.pack({ failures = num(redis.call('HGET', P .. 'event:' .. A.ref .. ':progress', 'failures')),
                         jobs = jobs, forgotten = forgotten, listed = ids, waiting = redis.call('ZSCORE', P .. 'inbox', A.ref) and 1 or 0,
                         total = count_jobs(A.ref) })
return reply
