-- needs: event_records
-- The list of an event's jobs. The first one stands in the event's record (event_records.lua), because most events have
-- one job, and a key of its own takes three times the memory. The others are in event:<ref>:jobs, one string of ids.

-- The length of an id.
local ID_BYTES = 36

-- Returns the first job of a record, or '' if it has none.
local function first_job_of(record)
  local id = string.sub(record, FIRST_JOB + 1, BEGINNING)
  return id ~= NO_JOB and id or ''
end

-- Returns a record with another first job; '' is none.
local function with_first_job(record, id)
  return string.sub(record, 1, FIRST_JOB) .. (id ~= '' and id or NO_JOB) .. string.sub(record, BEGINNING + 1)
end

-- Returns the first job of an event, or ''. If there is none, the event has no job.
local function first_job(ref)
  return first_job_of(redis.call('GETRANGE', P .. 'event:' .. ref, 0, BEGINNING - 1))
end

-- Returns the jobs of an event, in one string.
local function jobs_of_event(ref)
  return first_job(ref) .. (redis.call('GET', P .. 'event:' .. ref .. ':jobs') or '')
end

-- Returns how many jobs an event has.
local function count_jobs(ref)
  return (first_job(ref) ~= '' and 1 or 0) + redis.call('STRLEN', P .. 'event:' .. ref .. ':jobs') / ID_BYTES
end

-- Returns some of the jobs of an event from `offset` on, in one string.
local function some_jobs(ref, offset, limit)
  local first = first_job(ref)
  local in_record = first ~= '' and 1 or 0
  local start, stop = math.max(0, offset - in_record), offset + limit - in_record
  local found = stop > start and redis.call('GETRANGE', P .. 'event:' .. ref .. ':jobs', start * ID_BYTES, stop * ID_BYTES - 1) or ''
  return offset == 0 and first .. found or found
end

-- Returns the place of a job in the list of its event's jobs, or nil.
local function listed(id, ref) return string.find(jobs_of_event(ref), id, 1, true) end

-- Adds jobs to the list of their event. If the list is damaged, nothing is written.
local function list_jobs(ref, ids)
  local start = redis.call('GETRANGE', P .. 'event:' .. ref, 0, BEGINNING - 1)
  -- Redis may have lost the record.
  local is_first = #start == BEGINNING and first_job_of(start) == ''
  local others = table.concat(ids, '', is_first and 2 or 1)
  if others ~= '' then redis.call('APPEND', P .. 'event:' .. ref .. ':jobs', others) end
  if is_first and ids[1] then redis.call('SETRANGE', P .. 'event:' .. ref, FIRST_JOB, ids[1]) end
end
