-- needs: rejected_list
-- reject: keeps what was refused where no producer waits for an answer.
-- A: entries = [JSON], rejected_cap
-- Returns nothing.
reject(A.entries)
write_counters()
