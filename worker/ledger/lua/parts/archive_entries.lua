-- The outbox of the history: what is to be written to PostgreSQL, the oldest first, in three lists.
--   cut, ended   jobs and events that have ended (retention.lua)
--   attempted    <job>:<attempt>, logs of attempts after which the job went on
--                ~<job>:<attempt>, the log of a job that had ended; it may replace an earlier one
-- The list `archived` has what is in PostgreSQL and still in the ledger: <time of archiving> <entry>, where the entry of a
-- log is =<job>:<attempt>:<time of the log>.

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
