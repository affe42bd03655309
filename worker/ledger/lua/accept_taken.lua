-- accept_taken: the oldest messages that a process has taken become events and refusals, once.
-- A: owner, batch, taken (how many messages it holds to be on its list), done (how many of these are over with this),
-- events = [{ref id type scope raw digest trace?}], door, grace, horizon, entries = [JSON of a refusal], rejected_cap
-- Answers as accept does; nothing (nil) where the process was held to be dead and its messages were given back, or where
-- it has taken another batch since: then nothing was done.
local taken = P .. 'intake-taken:' .. A.owner
if num(redis.call('ZSCORE', P .. 'takers', A.owner)) ~= A.batch or redis.call('LLEN', taken) ~= A.taken then
  return false
end
local answers = {}
for i, e in ipairs(A.events) do answers[i] = accept_event(e) end
keep_rejected(A.entries)
-- The oldest are at the right end.
if redis.call('EXISTS', P .. 'lost-messages') == 1 then
  for _, message in ipairs(redis.call('LRANGE', taken, -A.done, -1)) do
    redis.call('HDEL', P .. 'lost-messages', redis.sha1hex(message))
  end
end
redis.call('LTRIM', taken, 0, -A.done - 1)
if A.done >= A.taken then redis.call('ZREM', P .. 'takers', A.owner) end
write_counts()
return answers
