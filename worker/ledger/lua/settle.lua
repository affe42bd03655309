-- settle: the outcomes of attempts: log, job state, next due time, counters.
-- A: owner, event_retention, log_retention, log_cap,
--    broken = {after attempts}: nothing but failures for so many ms, in so many attempts at several jobs, disable an
--      integration; 0 ms never do
--    circuit = {failures, share, least, window, cools = [ms]}: how many failures in a row open one, or which share of at
--      least so many attempts in so many ms; how long it cools, longer each time; 0 failures and share 0 open none
--    items = [{job attempt revision verdict lost reason delay rest disable health why log failed lane scope}]
--    health   ok | failed, or '' where the attempt says nothing of the receiver; why it failed, in words
--    verdict  succeeded | failed; or retry, lost, interrupted, which are one to this script
--    lost     its worker died: its log says so only where nobody knows better
--    disable  why the integration is to be disabled; like `rest`, only where it is still of the revision that failed
--    delay    ms until the job is due again    rest  ms for which the whole lane rests
--    log      JSON of the record without its opening brace: the time is put in front
-- Answers msgpack {results = [settled | renewed | late | stale], more = [lanes that have ready jobs and room],
-- circuits = [{lane open|closed until}] that changed their state, broken = [{lane, % of the time that nothing but failures
-- may last, since when (ms), attempts}], of which people are to be warned}.
--   renewed  it failed with a configuration that another has followed: the job is due now, whatever the verdict was
--   late     the lease had passed to another process, yet the success ends the job
--   stale    the job was not this process's any more: only the log was kept

local function add_to(index, member)
  redis.call('ZADD', index, NOW, member)
end

local function write_log(item)
  local member = item.job .. ':' .. item.attempt
  local key = P .. 'log:' .. member
  redis.call('SET', key, '{"created_at":' .. string.format('%.0f', NOW) .. ',' .. item.log, 'PX', A.log_retention)
  add_to(P .. 'logs:store:' .. item.scope, member)
  add_to(P .. 'logs:integration:' .. item.lane, member)
  if item.failed then
    add_to(P .. 'logs:failures:' .. item.scope, member)
  else
    redis.call('ZREM', P .. 'logs:failures:' .. item.scope, member)
  end
end

-- What one call may remove in all: more than it can append.
local budget = 400
local function trim(index, drop)
  redis.call('PEXPIRE', index, A.log_retention)
  local old = redis.call('ZRANGE', index, '-inf', NOW - A.log_retention, 'BYSCORE', 'LIMIT', 0, budget)
  if #old > 0 then redis.call('ZREMRANGEBYRANK', index, 0, #old - 1) end
  budget = budget - #old
  local excess = math.min(redis.call('ZCARD', index) - A.log_cap, budget)
  if excess > 0 then
    if drop then
      for _, member in ipairs(redis.call('ZRANGE', index, 0, excess - 1)) do redis.call('DEL', P .. 'log:' .. member) end
    end
    redis.call('ZREMRANGEBYRANK', index, 0, excess - 1)
    budget = budget - excess
  end
end

local circuits, broken = {}, {}

local function open_circuit(lane, trips)
  local cools = A.circuit.cools
  local until_ = NOW + cools[math.min(trips, #cools)]
  redis.call('HSET', P .. 'lane:' .. lane, 'circuit', 'open', 'circuit_until', until_, 'trips', trips)
  redis.call('HDEL', P .. 'lane:' .. lane, 'failures', 'window_from', 'window_all', 'window_failed')
  circuits[#circuits + 1] = { lane, 'open', until_ }
  count('circuits_opened')
end

-- Holds an integration's lane and records why; what is owed stays owed.
local function disable(id, reason)
  local key = P .. 'integration:' .. id
  local scope = redis.call('HGET', key, 'scope')
  if not scope or redis.call('HGET', key, 'enabled') == '0' then return end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  redis.call('HSET', key, 'enabled', 0, 'reason', reason, 'updated_at', NOW)
  redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', next_version(P .. 'scope:' .. scope), id)
  redis.call('HSET', P .. 'lane:' .. id, 'hold', 'disabled', 'revision', revision)
  -- Whoever sweeps next tells of it by an event.
  redis.call('SADD', P .. 'untold', id)
  touch(id)
end

-- A receiver that does nothing but fail: people are warned of it, and at last it is disabled. How many jobs it failed is
-- not counted further than "more than one".
local BROKEN_WARNINGS = { 90, 50 }
local function note_failure(lane, item, h)
  local key = P .. 'lane:' .. lane
  local since, attempts = h[1] and num(h[1]) or NOW, num(h[2]) + 1
  local jobs = h[3] and h[3] ~= item.job and 2 or math.max(1, num(h[4]))
  redis.call('HSET', key, 'failing_since', since, 'failing_attempts', attempts, 'failing_job', h[3] or item.job,
    'failing_jobs', jobs)
  local policy, percent = A.broken, 0
  if policy.after <= 0 or jobs < 2 or attempts < policy.attempts then return end
  local share = (NOW - since) / policy.after * 100
  if share >= 100 then
    disable(lane, string.format('nothing but failures for %s, in %d attempts; the last one: %s', policy.words, attempts, item.why))
    return
  end
  for _, each in ipairs(BROKEN_WARNINGS) do
    if percent == 0 and share >= each then percent = each end
  end
  if percent > num(h[5]) then
    redis.call('HSET', key, 'failing_warned', percent)
    broken[#broken + 1] = { lane, percent, since, attempts }
  end
end

-- What an attempt says of its receiver. A lane that does well costs one read, and no write.
local function note_health(lane, item)
  local key, ok = P .. 'lane:' .. lane, item.health == 'ok'
  local h = redis.call('HMGET', key, 'circuit', 'failures', 'window_from', 'window_all', 'window_failed', 'trips',
    'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs', 'failing_warned')
  local circuit = h[1] or ''
  if not ok then
    note_failure(lane, item, { h[7], h[8], h[9], h[10], h[11] })
  elseif h[7] then
    redis.call('HDEL', key, 'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs', 'failing_warned')
  end
  if ok and circuit ~= '' then
    redis.call('HDEL', key, 'circuit', 'circuit_until', 'trips')
    circuits[#circuits + 1] = { lane, 'closed', 0 }
    count('circuits_closed')
  elseif ok then
    if num(h[2]) > 0 then redis.call('HSET', key, 'failures', 0) end
    -- Successes count where failures do: a window begins with a failure.
    if h[3] then redis.call('HINCRBY', key, 'window_all', 1) end
  elseif circuit == 'half' then
    open_circuit(lane, num(h[6]) + 1)
  elseif circuit == '' then
    local policy = A.circuit
    local failures, from, all, failed = num(h[2]) + 1, num(h[3]), num(h[4]) + 1, num(h[5]) + 1
    if NOW - from > policy.window then from, all, failed = NOW, 1, 1 end
    local in_a_row = policy.failures > 0 and failures >= policy.failures
    local too_many = policy.share > 0 and all >= policy.least and failed >= policy.share * all
    if in_a_row or too_many then
      open_circuit(lane, 1)
    else
      redis.call('HSET', key, 'failures', failures, 'window_from', from, 'window_all', all, 'window_failed', failed)
    end
  end
end

local results, scopes, lanes = {}, {}, {}
for i, item in ipairs(A.items) do
  local key = P .. 'job:' .. item.job
  local j = redis.call('HMGET', key, 'state', 'owner', 'attempts', 'base', 'event', 'done', 'deadline', 'size')
  local state, owner, attempts, base, ref, lane = j[1], j[2], num(j[3]), num(j[4]), j[5], item.lane
  local mine = state == 'pending' and owner == A.owner and attempts == item.attempt
  -- A process that was taken for dead may still report what really happened; its loss must not overwrite that.
  if not item.lost or (mine and redis.call('EXISTS', P .. 'log:' .. item.job .. ':' .. item.attempt) == 0) then
    write_log(item)
    scopes[item.scope] = true
    lanes[lane] = true
  end
  if mine then
    if item.lost then count('lost') end
    unlease(item.job, lane, A.owner)
    touch(lane)
    results[i] = 'settled'
    local policy = redis.call('HMGET', P .. 'lane:' .. lane, 'revision', 'rest_until', 'renewed')
    -- Of what was lost, nobody knows by which configuration.
    local outdated = not item.lost and item.revision < num(policy[3])
    if item.verdict == 'succeeded' or j[6] then
      end_job(item.job, ref, 'succeeded', '')
    elseif item.verdict == 'failed' and not outdated then
      end_job(item.job, ref, 'failed', item.reason)
    else
      local due = outdated and NOW or NOW + item.delay
      if due > num(j[7]) then
        end_job(item.job, ref, 'failed', 'deadline')
      else
        if item.lost then redis.call('HINCRBY', key, 'lost', 1) end
        redis.call('HSET', key, 'owner', '', 'tried', item.revision)
        make_due(item.job, lane, due, j[8])
        if outdated then results[i] = 'renewed' end
      end
    end
    -- What an old configuration's receiver asks for says nothing of the new one.
    if policy[1] and num(policy[1]) == item.revision then
      if NOW + item.rest > math.max(NOW, num(policy[2])) then
        redis.call('HSET', P .. 'lane:' .. lane, 'rest_until', NOW + item.rest)
      end
      if item.disable ~= '' then disable(lane, item.disable) end
      if item.health ~= '' then note_health(lane, item) end
    end
  elseif state == 'pending' and item.verdict == 'succeeded' and item.attempt > base then
    results[i] = 'late'
    if owner ~= '' and attempts > item.attempt then
      -- A later attempt is in flight: the job ends with it, so that it too has its log.
      redis.call('HSET', key, 'done', 1)
    else
      if owner ~= '' then unlease(item.job, lane, owner) end
      take_due(item.job, lane, j[8])
      touch(lane)
      end_job(item.job, ref, 'succeeded', '')
    end
  else
    results[i] = 'stale'
  end
end
for scope in pairs(scopes) do
  trim(P .. 'logs:store:' .. scope, true)
  trim(P .. 'logs:failures:' .. scope, false)
end
for lane in pairs(lanes) do trim(P .. 'logs:integration:' .. lane, false) end
local more = reindex_touched()
write_counts()
return cmsgpack.pack({ results = results, more = more, circuits = circuits, broken = broken })
