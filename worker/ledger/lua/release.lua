-- needs: lease_returns
-- release: jobs that were claimed and never started are due again, and their numbers are un-issued.
-- A: owner, event_retention, jobs = [{job attempt}]
-- Returns how many were given back.
local released = 0
for _, item in ipairs(A.jobs) do
  if give_back(item.job, A.owner, item.attempt) then released = released + 1 end
end
write_lanes()
write_counters()
return released
