-- The record of an event: one string, because Redis keeps that in the least memory. wire_event.py writes all of it but
-- the time and the job, and reads it.
--   8 bytes   the time of acceptance (ms), a big-endian double. In microseconds it is the event's sequence: its fraction
--             makes it larger than that of each earlier event of the same resource
--   16 bytes  the digest
--   2 bytes   the length of the head, a big-endian number
--   36 bytes  the event's first job, or zeros (event_jobs.lua)
--   the head  msgpack [id, type, scope, ingress, size (bytes of the event's JSON), codec, minor, trace, resource (the key
--             of its resource, or ''), 1 if its data was erased];
--             minor is the minor version that a process needs to understand the event, whatever the rest is
--   the rest  the event's JSON, as the codec says

-- Where the first job stands in a record, and what stands there if there is none.
local FIRST_JOB, NO_JOB = 26, string.rep('\0', 36)
-- The bytes in front of the head.
local BEGINNING = FIRST_JOB + #NO_JOB

-- What is read at first, which has most heads in it.
local FIRST_BYTES = 512

-- Returns the head of a record.
local function head_of(record)
  local id, kind, scope, ingress, size, codec, minor, trace, resource, erased =
    unpack(cmsgpack.unpack(string.sub(record, BEGINNING + 1, BEGINNING + struct.unpack('>H', record, 25))), 1, 10)
  return { id = id, type = kind, scope = scope, ingress = ingress, size = size, codec = codec, minor = num(minor), trace = trace,
           accepted_at = math.floor(struct.unpack('>d', record)), resource = resource or '', erased = num(erased) == 1 }
end

-- Returns the head of an event, or nil if its record is gone.
local function event_head(ref)
  local key = P .. 'event:' .. ref
  local start = redis.call('GETRANGE', key, 0, FIRST_BYTES - 1)
  if #start <= BEGINNING then return nil end
  local bytes = BEGINNING + struct.unpack('>H', start, 25)
  if bytes > FIRST_BYTES then start = redis.call('GETRANGE', key, 0, bytes - 1) end
  return head_of(start)
end
