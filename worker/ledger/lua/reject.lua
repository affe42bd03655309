-- needs: rejected_list
-- reject: adds messages to the rejected list that were refused while no producer waited for an answer.
-- A: entries = [JSON], rejected_cap
-- Returns nothing.
reject(A.entries)
write_counters()
