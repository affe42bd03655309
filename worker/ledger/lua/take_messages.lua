-- needs: leases
-- take_messages: messages of the plain queue, moved onto this process's own list; what is on it already comes first.
-- A: owner, lease, list, limit, byte_budget, alone_after
-- Returns {batch, lost, message, message ...}, the oldest first; every batch has a number of its own, which accepting
-- it
-- needs. `lost` is how many processes died that had taken the message which most of them had. One that lost
-- `alone_after` is taken with none beside it. Without messages it is {0, 0}.
local taken = P .. 'intake-taken:' .. A.owner
local some_are_suspect = redis.call('EXISTS', P .. 'lost-messages') == 1
local found, bytes, most_lost = {}, 0, 0

local function lost_by(message)
  return some_are_suspect and num(redis.call('HGET', P .. 'lost-messages', redis.sha1hex(message))) or 0
end

local function add(message, lost)
  found[#found + 1] = message
  bytes = bytes + #message
  most_lost = math.max(most_lost, lost)
end

-- True where there may be more to take there.
local function take_from(list)
  if #found >= A.limit or bytes > A.byte_budget or most_lost >= A.alone_after then return false end
  local message = redis.call('LMOVE', list, taken, 'RIGHT', 'LEFT')
  if not message then return false end
  local lost = lost_by(message)
  if lost >= A.alone_after and #found > 0 then
    redis.call('LMOVE', taken, list, 'LEFT', 'RIGHT')
    return false
  end
  add(message, lost)
  return true
end

local left = redis.call('LRANGE', taken, 0, -1)
for i = #left, 1, -1 do add(left[i], lost_by(left[i])) end
for _, list in ipairs({ P .. 'intake-next', A.list }) do
  while take_from(list) do end
end
local batch = 0
if #found > 0 then
  -- A process that has taken something is always among the owners, or it would be held to be dead.
  renew(A.owner)
  batch = redis.call('HINCRBY', P .. 'meta', 'batches', 1)
  redis.call('ZADD', P .. 'takers', batch, A.owner)
end
table.insert(found, 1, most_lost)
table.insert(found, 1, batch)
return found
