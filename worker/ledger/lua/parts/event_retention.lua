-- How long events are kept (A.event_retention).

-- Lets an event expire that has no pending job.
local function retain_event(ref)
  redis.call('PEXPIRE', P .. 'event:' .. ref, A.event_retention)
  redis.call('PEXPIRE', P .. 'event:' .. ref .. ':jobs', A.event_retention)
end

-- Keeps an event that has a pending job.
local function keep_event(ref)
  redis.call('PERSIST', P .. 'event:' .. ref)
  redis.call('PERSIST', P .. 'event:' .. ref .. ':jobs')
end
