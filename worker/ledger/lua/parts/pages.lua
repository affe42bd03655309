-- Pages of an index, the newest first.

-- The most members without a record that one call removes from a sorted set.
local PAGE_REMOVALS = 1000

-- Returns the records of a page, and the number of members of the index. `load(member)` returns a member's record, or
-- nil if it is gone. Then the member is removed from the index, and the next one takes its place.
local function page_of(index, offset, limit, load)
  local records, left = {}, PAGE_REMOVALS
  while #records < limit do
    local first = offset + #records
    local members = redis.call('ZRANGE', index, first, first + limit - #records - 1, 'REV')
    local removed = 0
    for _, member in ipairs(members) do
      local record = load(member)
      if record then
        records[#records + 1] = record
      elseif left > 0 then
        redis.call('ZREM', index, member)
        removed, left = removed + 1, left - 1
      end
    end
    if removed == 0 then break end
  end
  return records, redis.call('ZCARD', index)
end
