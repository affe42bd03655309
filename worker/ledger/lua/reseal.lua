-- needs: change_records
-- reseal: writes the same integration with its secrets sealed by another key. The revision stays. A change that is
-- based on an earlier read is refused (see `resealed` in put_integration).
-- A: id, revision (that the document was made from), doc, and the record of the change (see change_records.lua)
-- Returns 1, or 0 if the integration has another revision by now.
local key = P .. 'integration:' .. A.id
if num(redis.call('HGET', key, 'revision') or -1) ~= A.revision then return 0 end
redis.call('HSET', key, 'doc', A.doc)
redis.call('HINCRBY', key, 'resealed', 1)
record_change()
return 1
