-- needs: leases
-- take_messages: moves messages of the plain queue onto this process's own list; messages already there come first.
-- A: owner, lease, list, limit, byte_budget, alone_after
-- Returns {batch, lost, message, message ...}, the oldest first; {0, 0} without messages.
--   batch  a number of its own for each batch, which accept_taken needs
--   lost   the most processes that died after they took one of these messages; a message that reached `alone_after` is
--          taken alone
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

-- Takes one message of a list. Returns true if there may be another to take.
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
  -- A process that has taken messages must be among the owners, or it would be taken for dead.
  renew(A.owner)
  batch = redis.call('HINCRBY', P .. 'meta', 'batches', 1)
  redis.call('ZADD', P .. 'takers', batch, A.owner)
end
table.insert(found, 1, most_lost)
table.insert(found, 1, batch)
return found
