-- needs: counters
-- The rejected list: messages that were refused without an answer to their producer. Its length is bounded.

-- Adds entries = [JSON]; the list keeps the newest A.rejected_cap entries, and none where that is 0.
local function keep_rejected(entries)
  if #entries == 0 then return end
  -- LTRIM to -1 would keep all.
  if A.rejected_cap == 0 then
    redis.call('DEL', P .. 'rejected')
    return
  end
  for _, entry in ipairs(entries) do redis.call('LPUSH', P .. 'rejected', entry) end
  redis.call('LTRIM', P .. 'rejected', 0, A.rejected_cap - 1)
end

-- Adds and counts refused messages.
local function reject(entries)
  keep_rejected(entries)
  if #entries > 0 then count('rejected', #entries) end
end
