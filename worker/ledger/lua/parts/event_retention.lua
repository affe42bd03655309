-- How long events are kept (A.event_retention).

-- An event that has no open job expires.
local function retain_event(ref)
  redis.call('PEXPIRE', P .. 'event:' .. ref, A.event_retention)
  redis.call('PEXPIRE', P .. 'event:' .. ref .. ':jobs', A.event_retention)
end

-- An event that has an open job is kept.
local function keep_event(ref)
  redis.call('PERSIST', P .. 'event:' .. ref)
  redis.call('PERSIST', P .. 'event:' .. ref .. ':jobs')
end
