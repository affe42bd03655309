-- needs: due_jobs
-- audit_lane: checks a lane.
--   Its due and leased jobs are pending jobs of this lane.
--   It is in the index exactly while it has due jobs and is not held (invariant 6).
--   Its count of bytes is right.
-- A: lane, due = [members], leased = [members], whole = 1 if `due` has all due jobs, repair = 0 | 1
-- Returns msgpack {problems = [{kind, job or lane}]}; with repair each problem is repaired.
local problems = {}
local due_key, leased_key = P .. 'lane:' .. A.lane .. ':due', P .. 'lane:' .. A.lane .. ':leased'

local function found(kind, name, mend)
  problems[#problems + 1] = { kind, name }
  if A.repair == 1 then mend() end
end

local function owed_here(job)
  local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'lane', 'deadline', 'size')
  return j[1] == 'pending' and j[2] == A.lane, num(j[3]), num(j[4])
end

local bytes, seen = 0, 0
for _, job in ipairs(A.due) do
  if redis.call('ZSCORE', due_key, job) then
    local owed, deadline, size = owed_here(job)
    if not owed then
      found('due_not_owed', job, function() redis.call('ZREM', due_key, job) end)
    else
      bytes, seen = bytes + size + JOB_BYTES, seen + 1
      if not redis.call('ZSCORE', P .. 'pending', job) then
        found('not_listed', job, function() redis.call('ZADD', P .. 'pending', deadline, job) end)
      end
    end
  end
end
for _, job in ipairs(A.leased) do
  if redis.call('SISMEMBER', leased_key, job) == 1 then
    local owed, deadline = owed_here(job)
    if not owed then
      found('leased_not_owed', job, function() redis.call('SREM', leased_key, job) end)
    elseif not redis.call('ZSCORE', P .. 'pending', job) then
      found('not_listed', job, function() redis.call('ZADD', P .. 'pending', deadline, job) end)
    end
  end
end

local function place()
  return redis.call('ZSCORE', P .. 'lanes', A.lane) and 'index' or '', redis.call('SISMEMBER', P .. 'held', A.lane)
end
local lane, due = policy_of(A.lane), first_due(A.lane)
local on_hold = not lane.exists or lane.hold ~= ''
local indexed, held = place()
local right = (indexed == 'index') == (due ~= nil and not on_hold) and (held == 1) == (due ~= nil and on_hold)
if not right then
  found(due and not on_hold and 'not_indexed' or 'wrongly_indexed', A.lane, function()
    redis.call('SREM', P .. 'held', A.lane)
    reindex(A.lane)
  end)
end
if A.whole == 1 and lane.exists and redis.call('ZCARD', due_key) == seen
    and num(redis.call('HGET', P .. 'lane:' .. A.lane, 'bytes')) ~= bytes then
  found('wrong_size', A.lane, function()
    change_backlog_bytes(A.lane, bytes - num(lane_record(A.lane).bytes))
    write_lanes()
  end)
end
return cmsgpack.pack({ problems = problems })
