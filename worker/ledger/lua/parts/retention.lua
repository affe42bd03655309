-- needs: collected_writes
-- How long ended jobs and their events are kept: A.event_retention after their end. They have no TTL. They stand in the
-- list `ended` in the order of their end, and forget deletes them with every entry in an index. An entry of the list:
--   <job>     or <job>:<epoch>, a job that has ended
--   +<job>    the same, and its event ended with it
--   !<time> <event>    an event that ended without a job
-- The list `cut` is the same for jobs that were cancelled because Redis had no memory for them. They are forgotten at
-- once while that lasts.

-- Notes that an event without pending jobs has left the inbox.
local function retain_event(ref)
  local progress = P .. 'event:' .. ref .. ':progress'
  redis.call('HDEL', progress, 'open', 'observers', 'lost', 'announced')
  later('RPUSH', P .. 'ended', string.format('!%.0f %s', NOW, ref))
end
