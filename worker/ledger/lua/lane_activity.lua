-- needs: activity_records
-- lane_activity: the records of the attempts of some lanes on some days (see activity_records.lua).
-- A: ids, days
-- Returns a record, or nil, for each id and day: all days of the first id, then those of the next one.
local keys = {}
for _, id in ipairs(A.ids) do
  for _, day in ipairs(A.days) do keys[#keys + 1] = activity_key(id, day) end
end
return redis.call('MGET', unpack(keys))
