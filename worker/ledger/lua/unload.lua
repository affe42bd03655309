-- unload: removes a process from the observers of events that it does not observe any more, although they are still in
-- the inbox: the ledger accepts no writes, or the process stops. These events do not count it as lost.
-- Events from observe-next do not list their observers.
-- A: refs, owner, announce = 1 if other processes are to observe them now
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
  if A.announce == 1 then redis.call('ZADD', P .. 'inbox', 'XX', NOW, ref) end
end
return left
