-- Writes that a script collects, so that it calls Redis once for each key.

local collected, write_of = {}, {}

-- Runs the collected writes.
local function write_collected()
  local writes = collected
  collected, write_of = {}, {}
  for _, write in ipairs(writes) do redis.call(write.command, write.key, unpack(write.values)) end
end

-- Collects a write: a member, or a score and a member. Call write_collected() before the script reads that key, or
-- writes it in another way. Different commands on one key run in the order in which they were collected.
local function later(command, key, first, second)
  local write = write_of[key]
  if write and write.command ~= command then
    write_collected()
    write = nil
  end
  if not write then
    write = { command = command, key = key, values = {} }
    write_of[key] = write
    collected[#collected + 1] = write
  end
  local values = write.values
  values[#values + 1] = first
  if second then values[#values + 1] = second end
end
