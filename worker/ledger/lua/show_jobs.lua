-- needs: job_records
-- show_jobs: those of the jobs that exist, as the API shows them, in the order given.
-- A: jobs
-- Returns msgpack {records = [{id row event_id event_type due}]}.
local records = {}
for _, id in ipairs(A.jobs) do records[#records + 1] = job_record(id) end
return cmsgpack.pack({ records = records })
