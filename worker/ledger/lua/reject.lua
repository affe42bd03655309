-- reject: what was refused, and had nobody to be told.
-- A: entries = [JSON], rejected_cap
keep_rejected(A.entries)
write_counts()
return #A.entries
