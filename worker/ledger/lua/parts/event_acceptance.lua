-- needs: collected_writes, counters, hot_events, known_ids, resource_events
-- The acceptance of events into the inbox.

-- Puts A.events = [{ref scope resource made = 1 if the id is ours, so that it cannot be a repetition}] into the inbox,
-- each once. ARGV[2], ARGV[3] and so on are their records without the time (event_records.lua). A.grace is the time until
-- a sweep announces them (ms). Returns an array, one for each event: 0 new, 1 a duplicate, 2 a duplicate with other
-- content, 3 new and in the list for registered observers.
-- A.hot = 1: a new event may go into that list, because the caller does not observe it itself.

-- Puts new events, [{ref, record}], into the list for registered observers, if there is one; returns the answer for them.
local function new_answer(fresh)
  if A.hot ~= 1 or num(META[6]) <= NOW then return 0 end
  return add_hot(fresh) and 3 or 0
end

local function accept_events()
  local answers, keys, written, emptied, digests, fresh = {}, {}, {}, {}, {}, {}
  if #A.events == 0 then return answers end
  for i, e in ipairs(A.events) do keys[i] = P .. 'event:' .. e.ref end
  local resources = resource_keys(A.events, keys)
  local known = redis.call('MGET', unpack(keys))
  local unknown = {}
  for i, e in ipairs(A.events) do
    if not known[i] and e.made ~= 1 then unknown[#unknown + 1] = e.ref end
  end
  local forgotten = remembered(unknown)
  for i, e in ipairs(A.events) do
    local digest = string.sub(ARGV[1 + i], 1, 16)
    local first = known[i] and string.sub(known[i], 9, 24) or digests[e.ref]
    if first then
      answers[i] = first == digest and 1 or 2
      count('duplicates')
    elseif forgotten[e.ref] then
      -- Nobody knows its content any more.
      answers[i] = 1
      count('duplicates')
    else
      answers[i] = 0
      digests[e.ref] = digest
      local record = add_to_resource(resources[e.resource], known, e.ref) .. ARGV[1 + i]
      fresh[#fresh + 1] = { e.ref, record }
      written[#written + 1] = keys[i]
      written[#written + 1] = record
      -- If Redis lost an event, parts of it may be left; but an id that is ours was never used before.
      if e.made ~= 1 then
        emptied[#emptied + 1] = keys[i] .. ':jobs'
        emptied[#emptied + 1] = keys[i] .. ':progress'
      end
      later('ZADD', P .. 'events:' .. e.scope, NOW, e.ref)
      later('ZADD', P .. 'inbox', NOW + A.grace, e.ref)
      count('accepted')
    end
  end
  if #written > 0 then
    if #emptied > 0 then redis.call('DEL', unpack(emptied)) end
    -- The indexes come first: if one is damaged, no event is accepted, and the producer offers them again.
    write_collected()
    write_resources(resources, written)
    redis.call('MSET', unpack(written))
    local answer = new_answer(fresh)
    for i in ipairs(answers) do
      if answers[i] == 0 then answers[i] = answer end
    end
  end
  return answers
end
