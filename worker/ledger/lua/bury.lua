-- needs: change_records
-- bury: notes that an event is to be erased from the history, which alone has it.
-- A: ref, and the record of the change (see change_records.lua)
redis.call('SADD', P .. 'tombstones', A.ref)
record_change()
return 1
