-- needs: due_jobs, job_ends, notices
-- The backlog of a lane: its due jobs. A.backlog limits their number, A.backlog_bytes the bytes that they and their
-- events take (0 is no limit).

-- Cancels the oldest due jobs of a lane, or the newest (`pop` is ZPOPMIN or ZPOPMAX). Returns how many.
local function cancel_due(lane, pop, n, reason)
  local popped = redis.call(pop, P .. 'lane:' .. lane .. ':due', n)
  for i = 1, #popped, 2 do
    local j = redis.call('HMGET', P .. 'job:' .. popped[i], 'event', 'size', 'epoch')
    take_from_backlog(lane, j[2])
    end_job(popped[i], j[1], 'cancelled', reason, j[3])
  end
  touch(lane)
  return #popped / 2
end

-- Cancels the oldest jobs of a lane that has too many. A job that was due before now is older than jobs opened now. A
-- retry that is due later is older too; the retry that is due last has been tried most often.
local function cancel_oldest(lane, n, reason)
  local due = P .. 'lane:' .. lane .. ':due'
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  local last = redis.call('ZRANGE', due, -1, -1, 'WITHSCORES')
  local from_the_end = #first > 0 and tonumber(first[2]) >= NOW and tonumber(last[2]) > NOW
  return cancel_due(lane, from_the_end and 'ZPOPMAX' or 'ZPOPMIN', n, reason or 'lane_overflow')
end

-- Checks a lane's backlog after `opened` jobs were added. If it is too large, this cancels at most as many jobs as were
-- opened, and expire cancels the rest. Returns the % of the backlog (see BACKLOG_WARNINGS) that the lane has passed
-- since the last warning, with its jobs and bytes; nothing if it passed none. The field `filled` stores that %, and
-- `filling_reported` the one that a lifecycle event reported: a backlog to which only lifecycle events were added (`quiet`)
-- raises none.
local BACKLOG_WARNINGS = { 90, 50 }
local function check_backlog(id, opened, quiet)
  local key = P .. 'lane:' .. id
  local jobs, bytes, warned = redis.call('ZCARD', key .. ':due'), backlog_bytes(id), num(lane_record(id).filled)
  local share = math.max(jobs / A.backlog, A.backlog_bytes > 0 and bytes / A.backlog_bytes or 0) * 100
  if jobs > A.backlog then cancel_oldest(id, math.min(jobs - A.backlog, opened)) end
  if share > 100 then redis.call('SADD', P .. 'overflowing', id) end
  local passed = 0
  for _, percent in ipairs(BACKLOG_WARNINGS) do
    if passed == 0 and share >= percent then passed = percent end
  end
  local reported = num(lane_record(id).filling_reported)
  if passed > reported and not quiet then
    change_lane(id, { filling_reported = passed })
    note_transition('filling', id, { percent = passed, jobs = jobs, bytes = bytes, most = A.backlog,
                                     most_bytes = A.backlog_bytes })
  elseif reported > 0 and share < reported - 10 then
    change_lane(id, { filling_reported = passed })
  end
  if passed > warned then
    change_lane(id, { filled = passed })
    return passed, jobs, bytes
  end
  -- A new warning is possible only after the backlog was clearly smaller.
  if warned > 0 and share < warned - 10 then change_lane(id, { filled = passed }) end
end

-- Returns whether a lane's backlog can take a job of an event whose record has `size` bytes. An empty backlog can take any
-- event; otherwise an event larger than the whole backlog could never be redelivered.
local function has_room(id, size)
  local key = P .. 'lane:' .. id
  local jobs = redis.call('ZCARD', key .. ':due')
  if jobs == 0 or A.backlog_bytes <= 0 then return jobs < A.backlog end
  local bytes = backlog_bytes(id)
  return jobs < A.backlog and bytes + size + JOB_BYTES <= A.backlog_bytes
end
