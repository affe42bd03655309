-- needs: lane_records, notices
-- Jobs that failed for good: a lifecycle event reports them, at most once in EXHAUSTED_PAUSE for each lane, with their
-- number. A lane that has some to report is in `exhausted`.

-- Milliseconds.
local EXHAUSTED_PAUSE = 60000

-- Counts a job that failed for good; `why` is the reason in words.
local function note_exhausted(lane, job, why)
  local h = lane_record(lane)
  if not h.scope or h.hold == 'closing' then return end
  change_lane(lane, { exhausted = num(h.exhausted) + 1, exhausted_since = h.exhausted_since or NOW,
                      exhausted_job = job, exhausted_why = cut(why) })
  redis.call('ZADD', P .. 'exhausted', 'NX', math.max(NOW, num(h.exhausted_at) + EXHAUSTED_PAUSE), lane)
end
