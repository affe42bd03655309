-- needs: counters, event_retention
-- The end of a job.

-- Ends a pending job that is neither due nor leased any more. If the job's record is gone (Redis lost keys), it is only
-- removed from the list of pending jobs.
local function end_job(job, ref, state, reason)
  if not ref then
    redis.call('ZREM', P .. 'pending', job)
    return
  end
  redis.call('HSET', P .. 'job:' .. job, 'state', state, 'reason', reason, 'owner', '', 'ended_at', NOW)
  redis.call('PEXPIRE', P .. 'job:' .. job, A.event_retention)
  redis.call('ZREM', P .. 'pending', job)
  count(state)
  if redis.call('HINCRBY', P .. 'event:' .. ref, 'open', -1) <= 0 and not redis.call('ZSCORE', P .. 'inbox', ref) then
    retain_event(ref)
  end
end
