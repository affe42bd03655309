-- needs: hot_events
-- join_observers: registers a process that observes new events at once, or renews its registration.
-- A: owner, lease. While one is registered, `accept` puts new events into observe-next and asks for no wake-up.
if num(META[6]) <= NOW then drop_hot_records() end
redis.call('ZADD', P .. 'observers', NOW + A.lease, A.owner)
redis.call('HSET', P .. 'meta', 'observed_until', NOW + A.lease)
