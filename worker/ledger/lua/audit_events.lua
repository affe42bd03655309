-- needs: event_jobs, event_records
-- audit_events: checks that events have the right count of pending jobs, that those jobs are in the list of pending
-- jobs, and that what has ended is forgotten in time.
-- A: refs, event_retention, repair = 0 | 1,
--    most  events with more jobs are skipped: to count them takes too long
-- Returns msgpack {problems = [{kind, event or job}]}; with repair each problem is repaired.
local problems = {}
-- Sweeps may be so late (ms).
local SLACK = 3600000
local latest = NOW - A.event_retention - SLACK

-- An entry at the head of the list is worked off by the next sweep.
local function forget_soon(entry)
  if A.repair == 1 then redis.call('LPUSH', P .. 'ended', entry) end
end

-- Returns how many of an event's jobs are pending, and how many are kept.
local function jobs_of(ids)
  local open, kept = 0, 0
  for first = 1, #ids, ID_BYTES do
    local job = string.sub(ids, first, first + ID_BYTES - 1)
    local j = redis.call('HMGET', P .. 'job:' .. job, 'state', 'deadline', 'ended_at', 'epoch')
    if j[1] then kept = kept + 1 end
    if j[1] == 'pending' then
      open = open + 1
      if not redis.call('ZSCORE', P .. 'pending', job) then
        problems[#problems + 1] = { 'not_listed', job }
        if A.repair == 1 then redis.call('ZADD', P .. 'pending', num(j[2]), job) end
      end
    elseif j[1] and num(j[3]) < latest then
      problems[#problems + 1] = { 'kept_for_ever', job }
      forget_soon('+' .. job .. (num(j[4]) > 0 and ':' .. num(j[4]) or ''))
    end
  end
  return open, kept
end

for _, ref in ipairs(A.refs) do
  local key = P .. 'event:' .. ref
  local event = event_head(ref)
  if event and count_jobs(ref) <= A.most then
    local open, kept = jobs_of(jobs_of_event(ref))
    if num(redis.call('HGET', key .. ':progress', 'open')) ~= open then
      problems[#problems + 1] = { 'wrong_count', ref }
      if A.repair == 1 then
        redis.call('HSET', key .. ':progress', 'open', open)
        -- It may have been over without that being noted.
        if open == 0 then redis.call('RPUSH', P .. 'ended', string.format('!%.0f %s', NOW, ref)) end
      end
    end
    if kept == 0 and event.accepted_at < latest and not redis.call('ZSCORE', P .. 'inbox', ref) then
      problems[#problems + 1] = { 'kept_for_ever', ref }
      forget_soon('!0 ' .. ref)
    end
  end
end
return cmsgpack.pack({ problems = problems })
