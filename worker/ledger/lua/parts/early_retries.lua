-- needs: lane_index
-- Early retries: jobs that wait for a later attempt are made due now after their integration got a new configuration.
-- Fields of a lane: `hasten` is the revision of that configuration, `hasten_from` the due time up to which its jobs
-- have been processed.

-- Jobs of one chunk.
local EARLY_RETRIES = 100

-- Starts early retries of a lane; retry_early() processes it chunk by chunk.
local function begin_early_retries(id, revision)
  redis.call('HSET', P .. 'lane:' .. id, 'hasten', revision, 'hasten_from', NOW)
  redis.call('SADD', P .. 'hastening', id)
end

-- Makes a chunk of the lane's later jobs due now, the earliest first, if their last attempt used an older revision. One
-- ms never holds more jobs than one chunk and a few settlements.
local function retry_early(id)
  local key, due = P .. 'lane:' .. id, P .. 'lane:' .. id .. ':due'
  local h = redis.call('HMGET', key, 'hasten', 'hasten_from')
  -- Jobs that became due meanwhile keep their turn, and so do those that this function made due.
  local revision, from = num(h[1]), math.max(num(h[2]), NOW)
  local chunk = redis.call('ZRANGE', due, string.format('(%.0f', from), '+inf', 'BYSCORE', 'LIMIT', 0, EARLY_RETRIES,
    'WITHSCORES')
  if #chunk > 0 then
    local last = chunk[#chunk]
    local same = redis.call('ZRANGE', due, last, last, 'BYSCORE', 'LIMIT', 0, EARLY_RETRIES)
    for i = 1, #chunk, 2 do same[#same + 1] = chunk[i] end
    for _, job in ipairs(same) do
      if num(redis.call('HGET', P .. 'job:' .. job, 'tried')) < revision then redis.call('ZADD', due, NOW, job) end
    end
    redis.call('HSET', key, 'hasten_from', last)
  end
  if #chunk < 2 * EARLY_RETRIES then
    redis.call('HDEL', key, 'hasten', 'hasten_from')
    redis.call('SREM', P .. 'hastening', id)
  end
  touch(id)
end
