-- needs: integration_records, pages
-- page_integrations: a page of a scope's integrations, the newest first.
-- A: scope, offset, limit
-- Returns msgpack {records = [{id row}], total}.
local records, total = page_of(P .. 'scope:' .. A.scope .. ':list', A.offset, A.limit, integration_record)
return cmsgpack.pack({ records = records, total = total })
