-- needs: counters
-- The bounded list of what was refused without an answer to its producer.

-- Keeps entries = [JSON]; the list holds the newest A.rejected_cap.
local function keep_rejected(entries)
  if #entries == 0 then return end
  for _, entry in ipairs(entries) do redis.call('LPUSH', P .. 'rejected', entry) end
  redis.call('LTRIM', P .. 'rejected', 0, A.rejected_cap - 1)
end

-- Keeps and counts refused messages.
local function reject(entries)
  keep_rejected(entries)
  if #entries > 0 then count('rejected', #entries) end
end
