-- unload: removes a process from the observers of events that it could not observe because the ledger accepts no
-- writes. If the process dies later, these events do not count it as lost.
-- A: refs, owner
-- Returns the number of events from which it was removed.
local left = 0
for _, ref in ipairs(A.refs) do
  local key = P .. 'event:' .. ref .. ':progress'
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
