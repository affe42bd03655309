-- The records of lanes. A script reads each lane once, and writes its changes once, at its end.

local lane_records, lane_changes = {}, {}

-- Returns a lane's record, with the changes of this script; it is empty if the lane does not exist.
local function lane_record(id)
  local record = lane_records[id]
  if record then return record end
  local flat = redis.call('HGETALL', P .. 'lane:' .. id)
  record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  lane_records[id] = record
  return record
end

-- Changes fields of a lane; `false` removes one. write_lane_records() writes them.
local function change_lane(id, fields)
  local record, changes = lane_record(id), lane_changes[id]
  if not changes then
    changes = {}
    lane_changes[id] = changes
  end
  for name, value in pairs(fields) do
    if value or record[name] then changes[name] = value end
    record[name] = value or nil
  end
end

-- Deletes a lane's record, and drops the changes of this script.
local function delete_lane(id)
  lane_records[id], lane_changes[id] = {}, nil
  redis.call('DEL', P .. 'lane:' .. id)
end

-- Writes the changes.
local function write_lane_records()
  for id, changes in pairs(lane_changes) do
    local set, removed = {}, {}
    for name, value in pairs(changes) do
      if value then
        set[#set + 1] = name
        set[#set + 1] = value
      else
        removed[#removed + 1] = name
      end
    end
    if #set > 0 then redis.call('HSET', P .. 'lane:' .. id, unpack(set)) end
    if #removed > 0 then redis.call('HDEL', P .. 'lane:' .. id, unpack(removed)) end
  end
  lane_changes = {}
end
