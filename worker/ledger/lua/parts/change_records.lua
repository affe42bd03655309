-- The audit: records of the changes that people make, a list for each scope, the newest at the left end.
-- A: change = {scope, record}, a JSON array that begins with 0 in the place of its time; without it nothing is recorded
--    audit_cap (records of a scope), audit_retention (ms)

-- How many of the oldest records are checked at once.
local OLDEST_CHANGES = 50

-- Drops records at the old end of a list that are older than A.audit_retention, up to OLDEST_CHANGES of them.
local function drop_old_changes(list)
  local oldest, old = redis.call('LRANGE', list, -OLDEST_CHANGES, -1), 0
  for i = #oldest, 1, -1 do
    if num(string.match(oldest[i], '^%[(%d+)')) > NOW - A.audit_retention then break end
    old = old + 1
  end
  if old > 0 then redis.call('LTRIM', list, 0, -old - 1) end
end

-- Records the change that the script makes.
local function record_change()
  if not A.change then return end
  local list = P .. 'audit:' .. A.change.scope
  redis.call('LPUSH', list, '[' .. string.format('%.0f', NOW) .. string.sub(A.change.record, 3))
  redis.call('LTRIM', list, 0, A.audit_cap - 1)
  drop_old_changes(list)
  redis.call('PEXPIRE', list, A.audit_retention)
end
