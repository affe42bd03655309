-- Answers of receivers that are erased.

-- Returns an IntegrationLog (log_records.py) without the receiver's answer.
local function without_answer(log)
  local _, quote = string.find(log, '^%[%d+,"[^"]*",%a+,"')
  local at = quote and quote + 1
  while at do
    at = string.find(log, '["\\]', at)
    if not at then break end
    if string.sub(log, at, at) == '"' then return string.sub(log, 1, quote) .. string.sub(log, at) end
    at = at + 2
  end
  return log
end
