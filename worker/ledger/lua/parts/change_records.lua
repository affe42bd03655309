-- needs: archive_entries
-- The audit: records of the changes that people make, a list for each scope, the newest at the left end.
-- A: change = {scope, record}, a JSON array that begins with 0 in the place of its time; without it nothing is recorded
--    audit_cap (records of a scope), audit_retention (ms), audit_archived = 1 with a history
--
-- The times of a list grow with each record, so they order it: of two changes in one millisecond, the later one counts
-- as made in the next.
--
-- With a history, a record is put into the outbox (`audited`) in the same step, and marked: its array ends with its number
-- there. `audited` of `meta` is the last number. The history has those records of a scope whose number is lower than that of
-- the first entry of `audited`, and of the first of `audited:<scope>` (outbox_turns.lua). A list drops a record once the
-- history has it. A record without a mark was made before there was a history, by an older version, or while the outbox was
-- full; it is put there when its turn comes to be dropped. If the outbox is full then, the list has SPARE_CHANGES more;
-- beyond, the record is dropped, and counted as `audit_lost` of `meta`.

-- How many of the oldest records are checked at once.
local OLDEST_CHANGES = 50
-- Records that a list may have beyond its cap while the history does not have them.
local SPARE_CHANGES = 1000
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

-- How many more records the outbox may have; nil until put_out() has counted.
local free

-- Puts a record of a scope into the outbox. Returns it with its mark; nil if the outbox is full.
local function put_out(scope, record)
  free = free or MOST_AUDITED - audited_waiting()
  if free <= 0 then return nil end
  free = free - 1
  local number = redis.call('HINCRBY', P .. 'meta', 'audited', 1)
  local marked = string.format('%s,%d]', string.sub(record, 1, -2), number)
  redis.call('RPUSH', P .. 'audited', scope .. ' ' .. marked)
  return marked
end

-- Returns the number up to which the history has a scope's records; nil without a history.
local function last_audited(scope)
  if not is_audit_archived() then return nil end
  local last = num(redis.call('HGET', P .. 'meta', 'audited'))
  for _, list in ipairs({ 'audited', 'audited:' .. scope }) do
    local oldest = redis.call('LINDEX', P .. list, 0)
    if oldest then last = math.min(last, (audited_number(oldest) or 0) - 1) end
  end
  return last
end

-- Drops records at the old end of a list: those beyond A.audit_cap, and those older than A.audit_retention, up to
-- OLDEST_CHANGES of them, and no further than to the first that the history is still to have.
local function drop_old_changes(scope)
  local list = P .. 'audit:' .. scope
  local oldest, length = redis.call('LRANGE', list, -OLDEST_CHANGES, -1), redis.call('LLEN', list)
  local last = last_audited(scope)
  local old, lost, stays = 0, 0, false
  for i = #oldest, 1, -1 do
    local left = length - old
    if left <= A.audit_cap and change_time(oldest[i]) > NOW - A.audit_retention then break end
    if last then
      local must = left > A.audit_cap + SPARE_CHANGES
      local number = audited_number(oldest[i])
      local marked = not number and put_out(scope, oldest[i])
      if marked then redis.call('LSET', list, i - #oldest - 1, marked) end
      if must and not number and not marked then lost = lost + 1 end
      stays = stays or not (must or number and number <= last)
    end
    if not stays then old = old + 1 end
  end
  if old > 0 then redis.call('LTRIM', list, 0, -old - 1) end
  if lost > 0 then redis.call('HINCRBY', P .. 'meta', 'audit_lost', lost) end
end

-- Records the change that the script makes.
local function record_change()
  if not A.change then return end
  local scope, list = A.change.scope, P .. 'audit:' .. A.change.scope
  local newest = redis.call('LINDEX', list, 0)
  local time = newest and math.max(NOW, change_time(newest) + 1) or NOW
  local record = '[' .. string.format('%.0f', time) .. string.sub(A.change.record, 3)
  if is_audit_archived() then record = put_out(scope, record) or record end
  redis.call('LPUSH', list, record)
  drop_old_changes(scope)
  redis.call('PEXPIRE', list, A.audit_retention)
end
