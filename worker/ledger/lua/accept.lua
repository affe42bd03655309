-- accept: events into the inbox, each once.
-- A: events = [{ref id type scope raw digest trace?}], door, grace, horizon
-- Answers an array, one for each event: 0 new, 1 a duplicate, 2 a duplicate with other content.
local answers = {}
for i, e in ipairs(A.events) do answers[i] = accept_event(e) end
write_counts()
return answers
