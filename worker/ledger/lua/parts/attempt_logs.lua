-- needs: collected_writes
-- The logs of attempts (IntegrationLogs), with their indexes: lists, the newest at the right end, which take a third of
-- the memory of a sorted set.
-- A: log_retention (ms), log_cap (logs of each index)

-- Returns a log's record with its time; `record` is a JSON array that begins with 0 in the place of the time.
local function stamped(record)
  return '[' .. string.format('%.0f', NOW) .. string.sub(record, 3)
end

-- Writes the log of an attempt; a second one replaces the first.
local logged_scopes, logged_lanes = {}, {}
local function write_log(item)
  local member = item.job .. ':' .. item.attempt
  local first = redis.call('SET', P .. 'log:' .. member, stamped(item.log), 'PX', A.log_retention, 'GET')
  local failures, has_failed = P .. 'logs:failures:' .. item.scope, item.verdict ~= 'succeeded'
  if first then
    -- The other indexes have it.
    local had_failed = not cjson.decode(first)[3]
    write_collected()
    if had_failed and not has_failed then redis.call('LREM', failures, -1, member) end
    has_failed = has_failed and not had_failed
  else
    later('RPUSH', P .. 'logs:store:' .. item.scope, member)
    later('RPUSH', P .. 'logs:integration:' .. item.lane, member)
  end
  if has_failed then later('RPUSH', failures, member) end
  logged_scopes[item.scope], logged_lanes[item.lane] = true, true
end

-- The most members that one call removes: more than it can write.
local removals_left = 400
-- How many of the oldest members are checked at once.
local OLDEST = 50

-- Removes members from the old end of an index whose logs have expired. All logs are kept for the same time.
local function drop_expired(index)
  while removals_left > 0 do
    local oldest, expired = redis.call('LRANGE', index, 0, math.min(OLDEST, removals_left) - 1), 0
    for _, member in ipairs(oldest) do
      if redis.call('EXISTS', P .. 'log:' .. member) == 1 then break end
      expired = expired + 1
    end
    if expired == 0 then return end
    redis.call('LPOP', index, expired)
    removals_left = removals_left - expired
    if expired < #oldest then return end
  end
end

-- Removes expired members of an index, and the oldest ones beyond the cap; with `drop` also their logs.
local function trim_index(index, drop)
  redis.call('PEXPIRE', index, A.log_retention)
  drop_expired(index)
  local excess = math.min(redis.call('LLEN', index) - A.log_cap, removals_left)
  if excess > 0 then
    if drop then
      local logs = {}
      for i, member in ipairs(redis.call('LRANGE', index, 0, excess - 1)) do logs[i] = P .. 'log:' .. member end
      redis.call('DEL', unpack(logs))
    end
    redis.call('LPOP', index, excess)
    removals_left = removals_left - excess
  end
end

-- Trims the indexes that this script has written to.
local function trim_logs()
  write_collected()
  for scope in pairs(logged_scopes) do
    trim_index(P .. 'logs:store:' .. scope, true)
    trim_index(P .. 'logs:failures:' .. scope, false)
  end
  for lane in pairs(logged_lanes) do trim_index(P .. 'logs:integration:' .. lane, false) end
end
