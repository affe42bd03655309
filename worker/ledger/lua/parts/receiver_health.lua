-- needs: broken_receivers, circuits
-- The health of a receiver, as an attempt shows it: item.health is `ok` or `failed`.

-- Records the health. A healthy receiver costs no write.
local function note_health(lane, item)
  if item.health == 'ok' then
    note_not_failing(lane, item)
    note_circuit_success(lane)
  else
    note_failing(lane, item)
    note_circuit_failure(lane)
  end
end
