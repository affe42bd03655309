-- The pulse of the ledger, for charts: a line for each minute of the last 24 hours, the newest last. A line is JSON,
-- [minute (since 1970), accepted, attempts, succeeded, inbox, pending]; the first three numbers are counters.

local PULSE_KEPT = 1440

-- Adds the line of this minute, unless it is there.
local function note_pulse()
  local minute, last = math.floor(NOW / 60000), redis.call('LINDEX', P .. 'pulse', -1)
  if last and cjson.decode(last)[1] >= minute then return end
  local c = redis.call('HMGET', P .. 'counters', 'accepted', 'attempts', 'succeeded')
  redis.call('RPUSH', P .. 'pulse', cjson.encode({ minute, num(c[1]), num(c[2]), num(c[3]),
                                                   redis.call('ZCARD', P .. 'inbox'), redis.call('ZCARD', P .. 'pending') }))
  redis.call('LTRIM', P .. 'pulse', -PULSE_KEPT, -1)
end
