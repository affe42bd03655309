-- Counters of the ledger: a script counts as it works, and writes the sums once, at its end.

local counts = {}
local function count(name, n)
  counts[name] = (counts[name] or 0) + (n or 1)
end

local function write_counters()
  for name, n in pairs(counts) do redis.call('HINCRBY', P .. 'counters', name, n) end
end
