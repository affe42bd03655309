-- needs: archive_entries, event_records
-- archive_sort: moves the first entries of a list of the outbox to the lists of their stores (outbox_turns.lua), if the list
-- has more than `beyond`.
-- A: list, beyond, limit
-- Returns how many entries it has moved.

-- Stores' lists that have entries at once; while there are as many, nothing is sorted.
local MOST_LISTS = 1000
if redis.call('LLEN', P .. A.list) <= A.beyond or redis.call('LLEN', P .. 'turns') >= MOST_LISTS then return 0 end

local scopes = {}
local function scope_of_lane(lane)
  if scopes[lane] == nil then scopes[lane] = redis.call('HGET', P .. 'lane:' .. lane, 'scope') or false end
  return scopes[lane]
end

-- Returns the scope of an entry; '' if nothing of it is left.
local function scope_of(entry)
  if has_changes(A.list) then return (audited(entry)) or '' end
  local ref, scope = not has_logs(A.list) and ended_event(entry), false
  if not ref then
    local job = has_logs(A.list) and logged_job(entry) or ended_job(entry)
    local found = redis.call('HMGET', P .. 'job:' .. job, 'event', 'lane')
    ref, scope = found[1], found[2] and scope_of_lane(found[2])
  end
  return scope or ref and (event_head(ref) or {}).scope or ''
end

local entries = redis.call('LPOP', P .. A.list, A.limit)
local sorted, lists = {}, {}
for _, entry in ipairs(entries) do
  local list = A.list .. ':' .. scope_of(entry)
  if not sorted[list] then
    sorted[list] = {}
    lists[#lists + 1] = list
  end
  table.insert(sorted[list], entry)
end
for _, list in ipairs(lists) do
  if redis.call('RPUSH', P .. list, unpack(sorted[list])) == #sorted[list] then redis.call('RPUSH', P .. 'turns', list) end
end
return #entries
