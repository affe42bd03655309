-- needs: archive_entries, event_jobs, event_records, event_replies, log_records
-- archive_take: reads entries of the outbox (archive_entries.lua), and what is to be archived of each. Changes nothing.
-- A: list, offset, limit, byte_budget
-- Returns {meta, record of an event ..., record of a log ...}; meta = {entries, events = [{ref failures}],
--   jobs = [{id place row = [state reason attempts base epoch lost opened_at ended_at event lane marks]}] that have ended
--   and were not reopened since,
--   logs = [{member scope exchange again = 1 if it may replace an earlier one}]}. An entry of `audited` is the record.
local meta = { entries = {}, events = {}, jobs = {}, logs = {} }
local reply, logs = { '' }, {}
local bytes = 0
-- Logs of one job that are read, the newest first: the earlier ones were in `attempted`, unless they are older than the
-- history.
local MOST_LOGS = 20
-- Jobs of an event whose places are read.
local MOST_LISTED = 2000

local places = {}
local function place_of(id, ref)
  local known = places[ref]
  if not known then
    known = {}
    local ids = count_jobs(ref) <= MOST_LISTED and jobs_of_event(ref) or ''
    for first = 1, #ids, ID_BYTES do known[string.sub(ids, first, first + ID_BYTES - 1)] = (first - 1) / ID_BYTES end
    places[ref] = known
  end
  return known[id] or 0
end

local scopes = {}
-- Returns the scope of an event; if its record is gone, that of the lane.
local function scope_of(ref, lane)
  if not scopes[ref] then
    local head = ref ~= '' and event_head(ref)
    scopes[ref] = head and head.scope or redis.call('HGET', P .. 'lane:' .. lane, 'scope') or ''
  end
  return scopes[ref]
end

local function take_event(ref)
  if sent[ref] ~= nil or not send_event(meta, reply, ref) then return end
  bytes = bytes + #sent[ref]
  meta.events[#meta.events].failures = num(redis.call('HGET', P .. 'event:' .. ref .. ':progress', 'failures'))
end

local function take_log(member, log, lane, ref, again)
  local exchange = redis.call('HGET', P .. 'exchanges:' .. lane, member) or ''
  bytes = bytes + #log + #exchange
  meta.logs[#meta.logs + 1] = { member = member, scope = scope_of(ref, lane), exchange = exchange, again = again }
  logs[#logs + 1] = log
end

local function take_job(id, epoch)
  local row = redis.call('HMGET', P .. 'job:' .. id, 'state', 'reason', 'attempts', 'base', 'epoch', 'lost', 'opened_at',
    'ended_at', 'event', 'lane', 'marks')
  if not row[1] or row[1] == 'pending' or num(row[5]) ~= epoch then return end
  for i = 1, 11 do row[i] = row[i] or '' end
  local ref, lane, attempts = row[9], row[10], num(row[3])
  take_event(ref)
  meta.jobs[#meta.jobs + 1] = { id = id, place = place_of(id, ref), scope = scope_of(ref, lane), row = row }
  local members, keys = {}, {}
  for attempt = attempts, math.max(1, attempts - MOST_LOGS + 1), -1 do
    members[#members + 1] = id .. ':' .. attempt
    keys[#keys + 1] = P .. 'log:' .. members[#members]
  end
  for i, log in ipairs(#keys > 0 and redis.call('MGET', unpack(keys)) or {}) do
    if log then take_log(members[i], log, lane, ref, 0) end
  end
end

local function take_attempt(entry)
  local mark, job, attempt = string.match(entry, '^(~?)(.*):(%d+)$')
  local log = redis.call('GET', P .. 'log:' .. job .. ':' .. attempt)
  if not log then return end
  local ref = redis.call('HGET', P .. 'job:' .. job, 'event') or ''
  take_log(job .. ':' .. attempt, log, (integration_of_log(log)), ref, mark == '~' and 1 or 0)
end

for i, entry in ipairs(redis.call('LRANGE', P .. A.list, A.offset, A.offset + A.limit - 1)) do
  if bytes > A.byte_budget then break end
  meta.entries[i] = entry
  if has_changes(A.list) then
    bytes = bytes + #entry
  elseif has_logs(A.list) then
    take_attempt(entry)
  else
    local ref = ended_event(entry)
    if ref then take_event(ref) else take_job(ended_job(entry)) end
  end
end
for _, log in ipairs(logs) do reply[#reply + 1] = log end
reply[1] = cmsgpack.pack(meta)
return reply
