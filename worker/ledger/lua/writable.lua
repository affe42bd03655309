-- writable: writes a key, as any change does; fails if Redis accepts no writes.
-- A: ttl
redis.call('SET', P .. 'writable', NOW, 'PX', A.ttl)
return NOW
