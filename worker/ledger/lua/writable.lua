-- writable: writes something, as any change does; fails where the store takes none.
-- A: ttl
redis.call('SET', P .. 'writable', NOW, 'PX', A.ttl)
return NOW
