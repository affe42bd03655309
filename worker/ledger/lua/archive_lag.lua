-- needs: archive_entries, log_records
-- archive_lag: how much waits in the outbox of the history (archive_entries.lua), and for how long the oldest has waited.
-- Returns msgpack {waiting, lag (ms), kept = entries of `archived`, by = the process that archives, or '',
-- lost = records of the audit that were dropped unarchived}.
local waiting, oldest = 0, NOW

local function since(list, entry)
  if has_changes(list) then return select(2, audited(entry)) end
  if has_logs(list) then
    local log = redis.call('GETRANGE', P .. 'log:' .. string.match(entry, '^~?(.*)$'), 0, 5)
    return log ~= '' and num(time_of_log(log)) or NOW
  end
  local ref, time = ended_event(entry)
  if ref then return time > 0 and time or NOW end
  return num(redis.call('HGET', P .. 'job:' .. ended_job(entry), 'ended_at') or NOW)
end

local lists = redis.call('LRANGE', P .. 'turns', 0, -1)
for _, list in ipairs({ 'cut', 'ended', 'attempted', 'audited' }) do lists[#lists + 1] = list end
for _, list in ipairs(lists) do
  local entry = redis.call('LINDEX', P .. list, 0)
  if entry then
    waiting = waiting + redis.call('LLEN', P .. list)
    oldest = math.min(oldest, since(list, entry))
  end
end
return cmsgpack.pack({
  waiting = waiting,
  lag = NOW - oldest,
  kept = redis.call('LLEN', P .. 'archived'),
  by = redis.call('GET', P .. 'archiver') or '',
  lost = num(redis.call('HGET', P .. 'meta', 'audit_lost')),
})
