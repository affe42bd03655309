-- reject: what was refused, and had nobody to be told.
-- A: entries = [JSON], rejected_cap
for _, entry in ipairs(A.entries) do redis.call('LPUSH', P .. 'rejected', entry) end
redis.call('LTRIM', P .. 'rejected', 0, A.rejected_cap - 1)
count('rejected', #A.entries)
write_counts()
return #A.entries
