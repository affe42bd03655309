-- needs: attempt_logs, integration_records
-- page_logs: a page of logs, the newest first.
-- A: index = the name after `logs:`, offset, limit, integration = the integration of the logs, or ''
-- Returns {meta, record, record ...}; meta = msgpack {members, total, scope = the integration's scope, or ''}.
local index = P .. 'logs:' .. A.index
removals_left = 1000
drop_expired(index)
local members, reply = {}, { '' }
local last = redis.call('LLEN', index) - 1 - A.offset
-- To remove a member from the middle of a list takes time that grows with its length. Only an accident leaves one there
-- without a log.
local removals = 10
while #members < A.limit and last >= 0 do
  local first = math.max(0, last - (A.limit - #members) + 1)
  local found = redis.call('LRANGE', index, first, last)
  for i = #found, 1, -1 do
    local log = redis.call('GET', P .. 'log:' .. found[i])
    if log then
      members[#members + 1] = found[i]
      reply[#reply + 1] = log
    elseif removals > 0 then
      redis.call('LREM', index, -1, found[i])
      removals = removals - 1
    end
  end
  last = first - 1
end
local scope = A.integration ~= '' and scope_of(A.integration) or ''
reply[1] = cmsgpack.pack({ members = members, total = redis.call('LLEN', index), scope = scope })
return reply
