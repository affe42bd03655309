-- The outbox of the history: what is to be written to PostgreSQL, the oldest first, in four lists.
--   cut, ended   jobs and events that have ended (retention.lua)
--   attempted    <job>:<attempt>, logs of attempts after which the job went on
--                ~<job>:<attempt>, the log of a job that had ended; it may replace an earlier one
--   audited      <scope> <record>, records of the audit (change_records.lua)
-- The same lists with a scope, such as ended:<scope>, have entries that archive_sort has moved there (outbox_turns.lua).
-- The list `archived` has what is in PostgreSQL and still in the ledger: <time of archiving> <entry>, where the entry of a
-- log is =<job>:<attempt>:<time of the log>.

-- Returns whether a list has logs.
local function has_logs(list) return string.sub(list, 1, 9) == 'attempted' end

-- Returns whether a list has records of the audit.
local function has_changes(list) return string.sub(list, 1, 7) == 'audited' end

-- Returns the job of an entry of `attempted`.
local function logged_job(entry) return string.match(entry, '^~?(.*):%d+$') end

-- Returns the job and the epoch of an entry of `ended`, and whether its event ended with it.
local function ended_job(entry)
  local mark, job, epoch = string.match(entry, '^(%+?)([^:]*):?(%d*)$')
  return job, num(epoch), mark == '+'
end

-- Returns the event of an entry of `ended`, and the time when it ended; nil if it is the entry of a job.
local function ended_event(entry)
  local time, ref = string.match(entry, '^!(%d+) (.*)$')
  return ref, num(time)
end

-- Returns the scope of an entry of `audited`, and the time of its record.
local function audited(entry)
  local scope, time = string.match(entry, '^(%S*) %[(%d+)')
  return scope, num(time)
end

-- Returns the number of a record of the audit in the outbox; nil if it was never there.
local function audited_number(record)
  return tonumber(string.match(record, '},(%d+)%]$'))
end
