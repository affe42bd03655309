-- needs: event_acceptance
-- accept: puts events into the inbox, each once.
-- A: events = [{ref scope}], grace, hot (see event_acceptance.lua)
-- Returns an array, one for each event: 0 new, 1 a duplicate, 2 a duplicate with other content, 3 new and in the list
-- for registered observers.
local answers = accept_events()
write_counters()
return answers
