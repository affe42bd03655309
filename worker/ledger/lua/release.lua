-- release: jobs that were claimed and never started go back, and their numbers are un-issued.
-- A: owner, event_retention, jobs = [{job attempt}]
-- Answers how many were given back.
local released = 0
for _, item in ipairs(A.jobs) do
  if give_back(item.job, A.owner, item.attempt) then released = released + 1 end
end
reindex_touched()
write_counts()
return released
