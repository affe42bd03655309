-- needs: collected_writes, log_records
-- The logs of attempts (IntegrationLogs), with their indexes: lists, the newest at the right end, which take a third of
-- the memory of a sorted set.
-- A: log_retention (ms), log_cap (logs of each index)

-- Members to add to each index, at its right end. The index with `owns` set takes logs with it beyond the cap.
local pushed = {}
local function push(index, member, owns)
  local members = pushed[index] or { owns = owns }
  pushed[index] = members
  members[#members + 1] = member
end

-- Writes the log of an attempt; a second one replaces the first. trim_logs() adds it to the indexes.
local logged_scopes = {}
local function write_log(item)
  local member = item.job .. ':' .. item.attempt
  local first = redis.call('SET', P .. 'log:' .. member, item.log, 'PX', A.log_retention, 'GET')
  local failures, has_failed = P .. 'logs:failures:' .. item.scope, item.verdict ~= 'succeeded'
  if first then
    -- The other indexes have it.
    local had_failed = not has_succeeded(first)
    if had_failed and not has_failed then
      if pushed[failures] then redis.call('RPUSH', failures, unpack(pushed[failures])) end
      pushed[failures] = nil
      redis.call('LREM', failures, -1, member)
    end
    has_failed = has_failed and not had_failed
  else
    push(P .. 'logs:store:' .. item.scope, member, true)
    push(P .. 'logs:integration:' .. item.lane, member)
  end
  if has_failed then push(failures, member) end
  logged_scopes[item.scope] = true
end

-- The most members that one call removes: more than it can write.
local removals_left = 400
-- How many of the oldest members are checked at once.
local OLDEST = 50

-- Removes members from the old end of an index whose logs have expired; returns how many. All logs are kept for the same
-- time.
local function drop_expired(index)
  local first, dropped = redis.call('LINDEX', index, 0), 0
  if not first or redis.call('EXISTS', P .. 'log:' .. first) == 1 then return 0 end
  while removals_left > 0 do
    local oldest, expired = redis.call('LRANGE', index, 0, math.min(OLDEST, removals_left) - 1), 0
    for _, member in ipairs(oldest) do
      if redis.call('EXISTS', P .. 'log:' .. member) == 1 then break end
      expired = expired + 1
    end
    if expired == 0 then break end
    redis.call('LPOP', index, expired)
    removals_left, dropped = removals_left - expired, dropped + expired
    if expired < #oldest then break end
  end
  return dropped
end

-- Removes the oldest members of an index beyond the cap; if it owns them, also their logs.
local function drop_excess(index, length, owns)
  local excess = math.min(length - A.log_cap, removals_left)
  if excess <= 0 then return end
  if owns then
    local logs = {}
    for i, member in ipairs(redis.call('LRANGE', index, 0, excess - 1)) do logs[i] = P .. 'log:' .. member end
    redis.call('DEL', unpack(logs))
  end
  redis.call('LPOP', index, excess)
  removals_left = removals_left - excess
end

-- Expired members are looked for with each so many new ones, and in a full index. Pages look for them, too.
local LOOK_EVERY = 8

-- Adds what was written to the indexes, and trims them.
local function trim_logs()
  local looked = {}
  for index, members in pairs(pushed) do
    local length = redis.call('RPUSH', index, unpack(members))
    redis.call('PEXPIRE', index, A.log_retention)
    looked[index] = length % LOOK_EVERY < #members or length > A.log_cap
    if looked[index] then drop_excess(index, length - drop_expired(index), members.owns) end
  end
  for scope in pairs(logged_scopes) do
    local failures = P .. 'logs:failures:' .. scope
    if looked[P .. 'logs:store:' .. scope] and not pushed[failures] then drop_expired(failures) end
  end
  pushed = {}
end
