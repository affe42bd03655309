-- unload: events that a process has loaded and could not observe, because the ledger takes nothing: it was not lost by
-- them.
-- A: refs, owner
-- Returns of how many of them it is no observer any more.
local left = 0
for _, ref in ipairs(A.refs) do
  local key = P .. 'event:' .. ref
  local observers, others = redis.call('HGET', key, 'observers'), {}
  for owner in string.gmatch(observers or '', '%S+') do
    if owner ~= A.owner then others[#others + 1] = owner end
  end
  local rest = table.concat(others, ' ')
  if observers and rest ~= observers then
    redis.call('HSET', key, 'observers', rest)
    left = left + 1
  end
end
return left
