-- needs: event_retention
-- audit_events: checks that events have the right count of pending jobs and are kept exactly while they have one. It
-- also checks that those jobs are in the list of pending jobs.
-- A: refs, event_retention, repair = 0 | 1,
--    most  events with more jobs are skipped: to count them takes too long
-- Returns msgpack {problems = [{kind, event or job}]}; with repair each problem is repaired.
local problems = {}
local function open_jobs(ref)
  local open = 0
  for _, job in ipairs(redis.call('LRANGE', P .. 'event:' .. ref .. ':jobs', 0, -1)) do
    local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'deadline')
    if j[1] == 'pending' then
      open = open + 1
      if not redis.call('ZSCORE', P .. 'pending', job) then
        problems[#problems + 1] = { 'not_listed', job }
        if A.repair == 1 then redis.call('ZADD', P .. 'pending', num(j[2]), job) end
      end
    end
  end
  return open
end
for _, ref in ipairs(A.refs) do
  local key = P .. 'event:' .. ref
  local event = redis.call('HMGET', key, 'raw', 'open')
  if event[1] and redis.call('LLEN', key .. ':jobs') <= A.most then
    local open = open_jobs(ref)
    local kept = open > 0 or redis.call('ZSCORE', P .. 'inbox', ref)
    if num(event[2]) ~= open or (redis.call('PTTL', key) == -1) ~= (kept and true or false) then
      local kind = num(event[2]) ~= open and 'wrong_count' or kept and 'kept_too_short' or 'kept_for_ever'
      problems[#problems + 1] = { kind, ref }
      if A.repair == 1 then
        redis.call('HSET', key, 'open', open)
        if kept then
          keep_event(ref)
        else
          retain_event(ref)
        end
      end
    end
  end
end
return cmsgpack.pack({ problems = problems })
