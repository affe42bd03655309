-- permitted: checks which commands this user may not run; reads and writes nothing.
-- A: commands = [[name, argument ...]]
-- Returns the names of commands that are denied, or that this server does not know.
local denied = {}
for _, command in ipairs(A.commands) do
  local known, allowed = pcall(redis.acl_check_cmd, unpack(command))
  if not (known and allowed) then denied[#denied + 1] = command[1] end
end
return denied
