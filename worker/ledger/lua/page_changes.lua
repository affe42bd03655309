-- needs: change_records
-- page_changes: a page of a scope's audit, the newest change first.
-- A: scope, offset, limit, audit_cap, audit_retention (ms), audit_archived = 1 with a history
-- Returns {the number of records, record, record ...}.
local list = P .. 'audit:' .. A.scope
drop_old_changes(A.scope)
return { redis.call('LLEN', list), unpack(redis.call('LRANGE', list, A.offset, A.offset + A.limit - 1)) }
