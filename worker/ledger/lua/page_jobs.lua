-- needs: integration_records, job_records, pages
-- page_jobs: a page of an integration's jobs, the newest first.
-- A: integration, offset, limit
-- Returns msgpack {records = [{id row event_id event_type due}], total, scope = the integration's scope, or ''}.
local records, total = page_of(P .. 'jobs:' .. A.integration, A.offset, A.limit, job_record)
return cmsgpack.pack({ records = records, total = total, scope = scope_of(A.integration) })
