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
  local open = redis.call('HINCRBY', P .. 'event:' .. ref .. ':progress', 'open', -1)
  ended_jobs[#ended_jobs + 1] = { entry = num(epoch) > 0 and job .. ':' .. num(epoch) or job, ref = ref, is_last = open <= 0,
                                 list = reason == 'ledger_overflow' and 'cut' or 'ended' }
end

-- Notes the ended jobs for retention, and their events if no job of them is pending and they have left the inbox.
local function write_ends()
  write_collected()
  local refs = {}
  for i, each in ipairs(ended_jobs) do refs[i] = each.ref end
  local waiting = #refs > 0 and redis.call('ZMSCORE', P .. 'inbox', unpack(refs)) or {}
  for i, each in ipairs(ended_jobs) do
    local is_over = each.is_last and not waiting[i]
    if is_over then
      redis.call('HDEL', P .. 'event:' .. each.ref .. ':progress', 'open', 'observers', 'lost', 'announced')
    end
    later('RPUSH', P .. each.list, (is_over and '+' or '') .. each.entry)
  end
  ended_jobs = {}
  write_collected()
end
