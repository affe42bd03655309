-- needs: collected_writes
-- How long ended jobs and their events are kept: A.event_retention after their end. They have no TTL. They stand in the
-- list `ended` in the order of their end, and forget deletes them with every entry in an index. An entry of the list:
--   <job>     or <job>:<epoch>, a job that has ended
--   +<job>    the same, and its event ended with it
--   !<time> <event>    an event that ended without a job

-- Notes that an event without pending jobs has left the inbox.
local function retain_event(ref)
  local progress = P .. 'event:' .. ref .. ':progress'
  redis.call('HDEL', progress, 'open', 'observers', 'lost', 'announced')
  later('RPUSH', P .. 'ended', string.format('!%.0f %s', NOW, ref))
end
