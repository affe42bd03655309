-- take_messages: messages of the plain queue, moved onto this process's own list; what is on it already comes first.
-- A: owner, lease, list, limit, byte_budget
-- Answers {batch, message, message ...}, the oldest first; every batch has a number of its own, which accepting it needs.
-- Without messages it is {0}.
local taken = P .. 'intake-taken:' .. A.owner
local found, bytes = {}, 0
local left = redis.call('LRANGE', taken, 0, -1)
for i = #left, 1, -1 do
  found[#found + 1] = left[i]
  bytes = bytes + #left[i]
end
for _, from in ipairs({ P .. 'intake-next', A.list }) do
  while #found < A.limit and bytes <= A.byte_budget do
    local message = redis.call('LMOVE', from, taken, 'RIGHT', 'LEFT')
    if not message then break end
    found[#found + 1] = message
    bytes = bytes + #message
  end
end
local batch = 0
if #found > 0 then
  -- A process that has taken something is always among the owners, or it would be held to be dead.
  renew(A.owner)
  batch = redis.call('HINCRBY', P .. 'meta', 'batches', 1)
  redis.call('ZADD', P .. 'takers', batch, A.owner)
end
table.insert(found, 1, batch)
return found
