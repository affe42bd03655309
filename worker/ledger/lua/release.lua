-- release: jobs that were claimed and never started go back, and their numbers are un-issued.
-- A: owner, event_retention, jobs = [{job attempt lane}]
-- Answers how many were given back.
local released = 0
for _, item in ipairs(A.jobs) do
  local key = P .. 'job:' .. item.job
  local j = redis.call('HMGET', key, 'state', 'owner', 'attempts', 'done', 'event', 'size')
  if j[1] == 'pending' and j[2] == A.owner and num(j[3]) == item.attempt then
    redis.call('HSET', key, 'attempts', item.attempt - 1, 'owner', '')
    unlease(item.job, item.lane, A.owner)
    if j[4] then
      -- An earlier attempt turned out to have succeeded meanwhile.
      touch(item.lane)
      end_job(item.job, j[5], 'succeeded', '')
    else
      make_due(item.job, item.lane, NOW, j[6])
    end
    released = released + 1
  end
end
count('attempts', -released)
reindex_touched()
write_counts()
return released
