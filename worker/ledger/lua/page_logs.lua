-- needs: integration_records, pages
-- page_logs: a page of logs, the newest first.
-- A: index = the name after `logs:`, offset, limit, retention, integration = the integration of the logs, or ''
-- Returns {meta, JSON, JSON ...}; meta = msgpack {members, total, scope = the integration's scope, or ''}.
local index = P .. 'logs:' .. A.index
-- The logs of these members have expired.
local old = redis.call('ZRANGE', index, '-inf', NOW - A.retention, 'BYSCORE', 'LIMIT', 0, PAGE_REMOVALS)
if #old > 0 then redis.call('ZREMRANGEBYRANK', index, 0, #old - 1) end
local members = {}
local reply, total = page_of(index, A.offset, A.limit, function(member)
  local log = redis.call('GET', P .. 'log:' .. member)
  if log then members[#members + 1] = member end
  return log or nil
end)
local scope = A.integration ~= '' and scope_of(A.integration) or ''
table.insert(reply, 1, cmsgpack.pack({ members = members, total = total, scope = scope }))
return reply
