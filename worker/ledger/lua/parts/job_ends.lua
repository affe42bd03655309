-- needs: counters, retention
-- The end of a job.

local ended_jobs = {}

-- Ends a pending job that is neither due nor leased any more. If the job's record is gone (Redis lost keys), it is only
-- removed from the list of pending jobs. Jobs that Redis has no memory for stand in a list of their own. Call write_ends() at the end of the script.
local function end_job(job, ref, state, reason, epoch)
  later('ZREM', P .. 'pending', job)
  if not ref then return end
  local key = P .. 'job:' .. job
  redis.call('HSET', key, 'state', state, 'ended_at', NOW)
  if reason ~= '' then redis.call('HSET', key, 'reason', reason) end
  redis.call('HDEL', key, 'owner', 'call', 'deadline', 'done', 'tried')
  count(state)
  ended_jobs[#ended_jobs + 1] = { entry = num(epoch) > 0 and job .. ':' .. num(epoch) or job, ref = ref,
                                 list = reason == 'ledger_overflow' and 'cut' or 'ended' }
end

-- Takes jobs that have ended, the last of them last, off the pending ones of their events. Marks the last job of an event
-- that is over: no job of it is pending, and it has left the inbox.
local function count_ended(jobs)
  local refs, ended, last = {}, {}, {}
  for _, each in ipairs(jobs) do
    if not ended[each.ref] then refs[#refs + 1] = each.ref end
    ended[each.ref], last[each.ref] = (ended[each.ref] or 0) + 1, each
  end
  local waiting = #refs > 0 and redis.call('ZMSCORE', P .. 'inbox', unpack(refs)) or {}
  for i, ref in ipairs(refs) do
    local progress = P .. 'event:' .. ref .. ':progress'
    last[ref].is_over = not waiting[i] and num(redis.call('HGET', progress, 'open')) <= ended[ref]
    if last[ref].is_over then
      redis.call('HDEL', progress, 'open', 'observers', 'lost', 'announced')
    else
      redis.call('HINCRBY', progress, 'open', -ended[ref])
    end
  end
end

-- Notes the ended jobs for retention, and their events if they are over.
local function write_ends()
  write_collected()
  local jobs = ended_jobs
  ended_jobs = {}
  count_ended(jobs)
  for _, each in ipairs(jobs) do
    later('RPUSH', P .. each.list, (each.is_over and '+' or '') .. each.entry)
  end
  write_collected()
end
