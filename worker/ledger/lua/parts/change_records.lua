-- needs: archive_entries
-- The audit: records of the changes that people make, a list for each scope, the newest at the left end.
-- A: change = {scope, record}, a JSON array that begins with 0 in the place of its time; without it nothing is recorded
--    audit_cap (records of a scope), audit_retention (ms), audit_archived = 1 with a history
--
-- The times of a list grow with each record, so they order it: of two changes in one millisecond, the later one counts
-- as made in the next.
--
-- With a history, a record is put into the outbox (`audited`) in the same step, and marked: its array ends with 1. A
-- record without the mark was made before there was a history, by an older version, or while the outbox was full. It is
-- put into the outbox when the list drops it. If the outbox is full then, it is counted as `audit_lost` of `meta`.

-- How many of the oldest records are checked at once.
local OLDEST_CHANGES = 50
-- Records that may wait in the outbox: 12 MB as they usually are, 350 MB if all are as long as one may be.
local MOST_AUDITED = 20000
-- Records go to the outbox so long after a process with a history was last there (ms).
local AUDITED_FOR = 86400000

local function change_time(record)
  return num(string.match(record, '^%[(%d+)'))
end

-- Returns whether this process has a history, or another of the fleet.
local function is_audit_archived()
  return A.audit_archived == 1 or NOW - num(redis.call('HGET', P .. 'meta', 'archived_at')) <= AUDITED_FOR
end

-- Returns how many records wait in the outbox, with those that archive_sort has moved to lists of scopes.
local function audited_waiting()
  local waiting = redis.call('LLEN', P .. 'audited')
  for _, list in ipairs(redis.call('LRANGE', P .. 'turns', 0, -1)) do
    if has_changes(list) then waiting = waiting + redis.call('LLEN', P .. list) end
  end
  return waiting
end

-- Puts records of a scope into the outbox, the oldest first. Returns how many of them found place.
local function put_out(scope, records)
  local free = MOST_AUDITED - audited_waiting()
  local entries = {}
  for i = 1, math.min(free, #records) do entries[i] = scope .. ' ' .. records[i] end
  if #entries > 0 then redis.call('RPUSH', P .. 'audited', unpack(entries)) end
  return #entries
end

-- Drops records at the old end of a list: those beyond A.audit_cap, and those older than A.audit_retention, up to
-- OLDEST_CHANGES of them.
local function drop_old_changes(scope)
  local list = P .. 'audit:' .. scope
  local oldest, surplus = redis.call('LRANGE', list, -OLDEST_CHANGES, -1), redis.call('LLEN', list) - A.audit_cap
  local old, unmarked = 0, {}
  for i = #oldest, 1, -1 do
    if old >= surplus and change_time(oldest[i]) > NOW - A.audit_retention then break end
    old = old + 1
    if string.sub(oldest[i], -3) ~= ',1]' then unmarked[#unmarked + 1] = oldest[i] end
  end
  if old > 0 then redis.call('LTRIM', list, 0, -old - 1) end
  if #unmarked == 0 or not is_audit_archived() then return end
  local lost = #unmarked - put_out(scope, unmarked)
  if lost > 0 then redis.call('HINCRBY', P .. 'meta', 'audit_lost', lost) end
end

-- Records the change that the script makes.
local function record_change()
  if not A.change then return end
  local scope, list = A.change.scope, P .. 'audit:' .. A.change.scope
  local newest = redis.call('LINDEX', list, 0)
  local time = newest and math.max(NOW, change_time(newest) + 1) or NOW
  local record = '[' .. string.format('%.0f', time) .. string.sub(A.change.record, 3)
  if is_audit_archived() then
    local marked = string.sub(record, 1, -2) .. ',1]'
    if put_out(scope, { marked }) == 1 then record = marked end
  end
  redis.call('LPUSH', list, record)
  drop_old_changes(scope)
  redis.call('PEXPIRE', list, A.audit_retention)
end
