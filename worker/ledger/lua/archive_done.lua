-- needs: outbox_turns
-- archive_done: takes entries off the outbox (archive_entries.lua) that PostgreSQL has now.
-- A: list, entries = as archive_take returned them, kept = for each what to add to `archived`, or '' for nothing,
--    again = 1 to put the entries back at the end, because PostgreSQL refused them
-- Returns 1; 0, and does nothing, if the list does not begin with these entries: another process has archived them.
local listed = redis.call('LRANGE', P .. A.list, 0, #A.entries - 1)
for i, entry in ipairs(A.entries) do
  if listed[i] ~= entry then return 0 end
end
redis.call('LPOP', P .. A.list, #A.entries)
if A.again == 1 then
  redis.call('RPUSH', P .. A.list, unpack(A.entries))
  end_turn(A.list)
  return 1
end
local kept = {}
for i, entry in ipairs(A.kept) do
  if entry ~= '' then kept[#kept + 1] = string.format('%.0f %s', NOW, entry) end
  local job = string.match(A.entries[i], '^~(.*):%d+$')
  local late = job and num(redis.call('HGET', P .. 'job:' .. job, 'late')) or 0
  if late > 1 then
    redis.call('HINCRBY', P .. 'job:' .. job, 'late', -1)
  elseif late == 1 then
    redis.call('HDEL', P .. 'job:' .. job, 'late')
  end
end
if #kept > 0 then redis.call('RPUSH', P .. 'archived', unpack(kept)) end
end_turn(A.list)
return 1
