-- The record of an attempt's log (an IntegrationLog): one string. log_records.py writes all of it but the time, and reads
-- it.
--   6 bytes   the time (ms), a big-endian number
--   1 byte    the sum of 1 if the attempt succeeded, 2 if the integration's id is a UUID, 4 if the event's id is one
--   the id of the integration: the 16 bytes of a UUID, or a byte with the length of a text, and the text
--   the rest  a msgpack array that begins with the body of the answer

-- Returns a record with the time.
local function stamped_log(log) return struct.pack('>I6', NOW) .. log end

-- Returns the time of a record, as text.
local function time_of_log(log) return string.format('%.0f', struct.unpack('>I6', log)) end

local function has_succeeded(log) return string.byte(log, 7) % 2 == 1 end

-- Returns the id of the integration of a record, and where the rest begins.
local function integration_of_log(log)
  if string.byte(log, 7) % 4 < 2 then
    local rest = 9 + string.byte(log, 8)
    return string.sub(log, 9, rest - 1), rest
  end
  local digits = string.gsub(string.sub(log, 8, 23), '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return string.gsub(digits, '^(........)(....)(....)(....)', '%1-%2-%3-%4-'), 24
end

-- Returns a record without the body of the receiver's answer.
local function without_answer(log)
  local _, rest = integration_of_log(log)
  -- The array has fewer than 16 elements, so its head is one byte.
  local mark = string.byte(log, rest + 1)
  local body = mark < 192 and mark - 160 or mark == 217 and 1 + string.byte(log, rest + 2)
    or mark == 218 and 2 + struct.unpack('>H', log, rest + 2) or 4 + struct.unpack('>I4', log, rest + 2)
  return string.sub(log, 1, rest) .. '\160' .. string.sub(log, rest + 2 + body)
end
