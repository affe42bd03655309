-- writable: writes something, as any change does; fails where Redis takes none.
-- A: ttl
redis.call('SET', P .. 'writable', NOW, 'PX', A.ttl)
return NOW
