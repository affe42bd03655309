-- needs: event_acceptance, rejected_list
-- accept_taken: accepts the oldest messages that a process has taken, as events and refusals, once.
-- A: owner, batch, events = [{ref scope}], grace (see event_acceptance.lua),
--    taken    how many messages the process has on its list, by its own count
--    done     how many of these this call accepts
--    entries  [JSON of a refusal], rejected_cap
-- Returns the same as accept. Returns nil, and does nothing, if the process was taken for dead and its messages were
-- given back, or if it has taken another batch since.
local taken = P .. 'intake-taken:' .. A.owner
if num(redis.call('ZSCORE', P .. 'takers', A.owner)) ~= A.batch or redis.call('LLEN', taken) ~= A.taken then
  return false
end
local answers = accept_events()
reject(A.entries)
-- The oldest messages are at the right end.
if redis.call('EXISTS', P .. 'lost-messages') == 1 then
  for _, message in ipairs(redis.call('LRANGE', taken, -A.done, -1)) do
    redis.call('HDEL', P .. 'lost-messages', redis.sha1hex(message))
  end
end
redis.call('LTRIM', taken, 0, -A.done - 1)
if A.done >= A.taken then redis.call('ZREM', P .. 'takers', A.owner) end
write_counters()
return answers
