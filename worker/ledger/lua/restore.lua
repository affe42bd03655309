-- needs: collected_writes, counters, event_jobs, event_records
-- restore: puts events and ended jobs of the history back into the ledger, as they were before it forgot them, so that
-- they can be redelivered. What is in the ledger already stays as it is. Nobody observes these events again, and what is
-- not reopened is forgotten after the window of what is archived.
-- A: events = [{ref scope jobs = the ids of all its jobs, one behind the other}],
--    jobs = [{id row = [state reason attempts base epoch lost opened_at ended_at event lane marks]}]
-- ARGV[2], ARGV[3] and so on: the records of the events (event_records.lua)
-- Returns the number of jobs that it restored.
local done = 0
local heads = {}

local function note(entry) later('RPUSH', P .. 'archived', string.format('%.0f %s', NOW, entry)) end

for i, e in ipairs(A.events) do
  local key = P .. 'event:' .. e.ref
  if redis.call('EXISTS', key) == 0 and redis.call('SISMEMBER', P .. 'tombstones', e.ref) == 0 then
    local record = ARGV[1 + i]
    redis.call('SET', key, with_first_job(record, string.sub(e.jobs, 1, ID_BYTES)))
    redis.call('DEL', key .. ':jobs', key .. ':progress')
    if #e.jobs > ID_BYTES then redis.call('SET', key .. ':jobs', string.sub(e.jobs, ID_BYTES + 1)) end
    later('ZADD', P .. 'events:' .. e.scope, head_of(record).accepted_at, e.ref)
    note(string.format('!%.0f %s', NOW, e.ref))
  end
  heads[e.ref] = event_head(e.ref)
end
for _, j in ipairs(A.jobs) do
  local key, row = P .. 'job:' .. j.id, j.row
  local ref, lane = row[9], row[10]
  local head = heads[ref]
  if head and not head.erased and redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'state', row[1], 'reason', row[2], 'attempts', row[3], 'base', row[4], 'epoch', row[5],
      'lost', row[6], 'opened_at', row[7], 'ended_at', row[8], 'event', ref, 'lane', lane, 'marks', row[11],
      'size', redis.call('STRLEN', P .. 'event:' .. ref))
    if head.minor > 0 then redis.call('HSET', key, 'minor', head.minor) end
    if not listed(j.id, ref) then list_jobs(ref, { j.id }) end
    later('ZADD', P .. 'jobs:' .. lane, row[7], j.id)
    note(num(row[5]) > 0 and j.id .. ':' .. row[5] or j.id)
    note(string.format('!%.0f %s', NOW, ref))
    done = done + 1
  end
end
count('restored', done)
write_collected()
write_counters()
return done
