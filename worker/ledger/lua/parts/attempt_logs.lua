-- The logs of attempts (IntegrationLogs), with their indexes.
-- A: log_retention (ms), log_cap (logs of each index)

-- Returns a log's record with its time added; `record` is a JSON object with at least one member.
local function stamped(record)
  return '{"created_at":' .. string.format('%.0f', NOW) .. ',' .. string.sub(record, 2)
end

-- Writes the log of an attempt; a second one replaces the first.
local logged_scopes, logged_lanes = {}, {}
local function write_log(item)
  local member = item.job .. ':' .. item.attempt
  redis.call('SET', P .. 'log:' .. member, stamped(item.log), 'PX', A.log_retention)
  redis.call('ZADD', P .. 'logs:store:' .. item.scope, NOW, member)
  redis.call('ZADD', P .. 'logs:integration:' .. item.lane, NOW, member)
  if item.verdict == 'succeeded' then
    redis.call('ZREM', P .. 'logs:failures:' .. item.scope, member)
  else
    redis.call('ZADD', P .. 'logs:failures:' .. item.scope, NOW, member)
  end
  logged_scopes[item.scope], logged_lanes[item.lane] = true, true
end

-- The most members that one call removes: more than it can write.
local removals_left = 400

-- Removes expired members of an index, and the oldest ones beyond the cap; with `drop` also their logs.
local function trim_index(index, drop)
  redis.call('PEXPIRE', index, A.log_retention)
  local old = redis.call('ZRANGE', index, '-inf', NOW - A.log_retention, 'BYSCORE', 'LIMIT', 0, removals_left)
  if #old > 0 then redis.call('ZREMRANGEBYRANK', index, 0, #old - 1) end
  removals_left = removals_left - #old
  local excess = math.min(redis.call('ZCARD', index) - A.log_cap, removals_left)
  if excess > 0 then
    if drop then
      for _, member in ipairs(redis.call('ZRANGE', index, 0, excess - 1)) do
        redis.call('DEL', P .. 'log:' .. member)
      end
    end
    redis.call('ZREMRANGEBYRANK', index, 0, excess - 1)
    removals_left = removals_left - excess
  end
end

-- Trims the indexes that this script has written to.
local function trim_logs()
  for scope in pairs(logged_scopes) do
    trim_index(P .. 'logs:store:' .. scope, true)
    trim_index(P .. 'logs:failures:' .. scope, false)
  end
  for lane in pairs(logged_lanes) do trim_index(P .. 'logs:integration:' .. lane, false) end
end
