-- A time-scored index, read in chunks from a cursor, the oldest first.
-- A: since (ms), after (the last member of that time that was read, or ''), till (ms), limit

-- Returns the next chunk: {member, time, member, time ...}.
local function read_chunk(index)
  if A.after == '' then
    return redis.call('ZRANGE', index, A.since, A.till, 'BYSCORE', 'LIMIT', 0, A.limit, 'WITHSCORES')
  end
  local rank = redis.call('ZRANK', index, A.after)
  -- If it was removed from the index meanwhile, all members of its time are read again; to read one twice is harmless.
  local first = rank and rank + 1 or redis.call('ZCOUNT', index, '-inf', string.format('(%.0f', A.since))
  local found = redis.call('ZRANGE', index, first, first + A.limit - 1, 'WITHSCORES')
  while #found > 0 and tonumber(found[#found]) > A.till do
    found[#found], found[#found - 1] = nil, nil
  end
  return found
end

-- Returns the reply for a chunk: how many members were looked at, and the cursor after them.
local function cursor_after(found)
  return { looked_at = #found / 2, since = #found > 0 and tonumber(found[#found]) or A.since,
           after = #found > 0 and found[#found - 1] or A.after, done = #found < 2 * A.limit and 1 or 0 }
end
