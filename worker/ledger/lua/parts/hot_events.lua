-- The list observe-next: new events for registered observers. An entry is the reference of an event, or its reference, a
-- blank and its record (event_records.lua), so that the observer need not load it. The inbox has every event as well.

-- The most entries; further events get a wake-up by the broker.
local HOT_LIMIT = 2000
-- Entries have a record while at most so many wait, and if it has at most so many bytes.
local HOT_RECORDS, HOT_RECORD_BYTES = 100, 4096
-- The minor version of processes that know entries with a record.
local HOT_RECORDS_SINCE = 3

-- Returns the reference of an entry.
local function hot_ref(entry) return string.match(entry, '^[^ ]*') end

-- Appends new events, [{ref, record}]. Returns false if too many wait.
local function add_hot(fresh)
  local waiting = redis.call('LLEN', P .. 'observe-next')
  if waiting >= HOT_LIMIT then return false end
  local in_force = META[5] and num(META[5]) or MINOR
  local carries = in_force >= HOT_RECORDS_SINCE and waiting + #fresh <= HOT_RECORDS
  local entries = {}
  for i, e in ipairs(fresh) do
    entries[i] = carries and #e[2] <= HOT_RECORD_BYTES and e[1] .. ' ' .. e[2] or e[1]
  end
  redis.call('RPUSH', P .. 'observe-next', unpack(entries))
  return true
end

-- Leaves only references in the list: a record that waits for long, or whose event was erased, must not be used.
local function drop_hot_records()
  local entries, shortened = redis.call('LRANGE', P .. 'observe-next', 0, -1), false
  for i, entry in ipairs(entries) do
    entries[i] = hot_ref(entry)
    shortened = shortened or #entries[i] < #entry
  end
  if not shortened then return end
  redis.call('DEL', P .. 'observe-next')
  redis.call('RPUSH', P .. 'observe-next', unpack(entries))
end
