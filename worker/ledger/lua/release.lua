-- needs: lease_returns
-- release: gives back jobs that were claimed and never started: they are due again, and their attempt numbers are taken
-- back.
-- A: owner, jobs = [{job attempt call}]; call is the number of the call that leased it
-- Returns the number of jobs given back.
local released = 0
for _, item in ipairs(A.jobs) do
  if give_back(item.job, A.owner, item.attempt, item.call) then released = released + 1 end
end
write_ends()
write_lanes()
write_counters()
return released
