-- The events of a resource: a string of the time of the last one (as in event_records.lua) and of their references, the
-- newest last, because Redis keeps that in the least memory. The key is events:<resource>; the key of a resource has no
-- slash, and a scope has one. The oldest of many events are left out; those of the scope still have them.

-- Events of a resource that are listed.
local LISTED_EVENTS = 100
-- The length of a reference.
local REF_BYTES = 22

-- Appends the keys of the events' resources to `keys`. Returns the place of each key: resource -> {key, place}.
local function resource_keys(events, keys)
  local places = {}
  for _, e in ipairs(events) do
    local resource = e.resource or ''
    if resource ~= '' and not places[resource] then
      keys[#keys + 1] = P .. 'events:' .. resource
      places[resource] = { key = keys[#keys], place = #keys }
    end
  end
  return places
end

-- Adds an event to its resource, if it has one. Returns its time, packed: now, or later than the last one's.
local function add_to_resource(resource, known, ref)
  if not resource then return struct.pack('>d', NOW) end
  local listed = resource.listed or known[resource.place] or ''
  local last = #listed >= 8 and struct.unpack('>d', listed) or 0
  local time = struct.pack('>d', math.max(NOW * 1000, math.floor(last * 1000 + 0.5) + 1) / 1000)
  local refs = string.sub(listed, 9)
  -- If Redis lost an event, it may still be listed.
  local first = string.find(refs, ref, 1, true)
  if first then refs = string.sub(refs, 1, first - 1) .. string.sub(refs, first + REF_BYTES) end
  resource.listed = time .. string.sub(refs, -(LISTED_EVENTS - 1) * REF_BYTES) .. ref
  return time
end

-- Appends the changed resources to the arguments of MSET.
local function write_resources(resources, written)
  for _, resource in pairs(resources) do
    if resource.listed then
      written[#written + 1] = resource.key
      written[#written + 1] = resource.listed
    end
  end
end

-- Takes an event off the list of its resource.
local function take_from_resource(resource, ref)
  if resource == '' then return end
  local key = P .. 'events:' .. resource
  local listed = redis.call('GET', key)
  local first = listed and string.find(listed, ref, 9, true)
  if not first then return end
  if #listed == 8 + REF_BYTES then
    redis.call('DEL', key)
  else
    redis.call('SET', key, string.sub(listed, 1, first - 1) .. string.sub(listed, first + REF_BYTES))
  end
end
