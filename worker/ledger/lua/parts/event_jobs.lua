-- The list of an event's jobs: one string of their ids, because Redis keeps that in the least memory.

-- The length of an id.
local ID_BYTES = 36

-- Returns the place of a job in the list of its event's jobs, or nil.
local function listed(id, ref)
  return string.find(redis.call('GET', P .. 'event:' .. ref .. ':jobs') or '', id, 1, true)
end
