-- The marks of a job: the ids of its latest redeliveries (A.mark; '' is none), so that none reopens it twice.

local MOST_MARKS = 10

-- Returns whether A.mark is among the marks of a job, its field `marks`.
local function has_mark(marks)
  return A.mark ~= '' and string.find(' ' .. (marks or '') .. ' ', ' ' .. A.mark .. ' ', 1, true) ~= nil
end

-- Returns the marks with A.mark added; the oldest of too many are left out.
local function marked(marks)
  if A.mark == '' then return marks or '' end
  local kept = { A.mark }
  for mark in string.gmatch(marks or '', '%S+') do
    if #kept < MOST_MARKS then kept[#kept + 1] = mark end
  end
  return table.concat(kept, ' ')
end
