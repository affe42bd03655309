-- What the attempts of an integration sent and got: of its last failures and its last success, a hash.
--   <job>:<attempt>  the exchange, as JSON, with the process that made the attempt (`worker`)
--   failures         the members of the failures, the oldest first, each with a blank behind it
--   success          the member of the success

-- Failures whose exchange is kept.
local EXCHANGES_KEPT = 20

-- Keeps the exchange of an attempt, if it has one. A second one of the attempt replaces the first.
local function keep_exchange(item)
  if not item.exchange then return end
  local key, member = P .. 'exchanges:' .. item.lane, item.job .. ':' .. item.attempt
  local known = redis.call('HMGET', key, 'failures', 'success')
  local failures, success, dropped = {}, known[2], {}
  for each in string.gmatch(known[1] or '', '%S+') do
    if each ~= member then failures[#failures + 1] = each end
  end
  if item.verdict == 'succeeded' then
    if success and success ~= member then dropped[1] = success end
    success = member
  else
    failures[#failures + 1] = member
    while #failures > EXCHANGES_KEPT do dropped[#dropped + 1] = table.remove(failures, 1) end
  end
  if #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
  -- An exchange is an object with at least the request.
  local kept = string.sub(item.exchange, 1, -2) .. ',"worker":' .. cjson.encode(A.owner) .. '}'
  redis.call('HSET', key, member, kept, 'failures', table.concat(failures, ' ') .. ' ', 'success', success or '')
  redis.call('PEXPIRE', key, A.log_retention)
end
