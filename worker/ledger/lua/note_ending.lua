-- needs: lane_records, notices
-- note_ending: notes that a certificate of an integration runs out, once for each end.
-- A: lane, field (of its configuration), ends (ms since 1970)
-- Returns 1, or 0 if that was noted before or the integration is gone.
local known, ending = lane_record(A.lane), A.field .. ' ' .. string.format('%.0f', A.ends)
if not next(known) or known.ending == ending then return 0 end
change_lane(A.lane, { ending = ending })
note_transition('ending', A.lane, { field = A.field, ends = A.ends })
write_lane_records()
return 1
