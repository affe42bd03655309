-- Turns of stores in the outbox of the history. While more waits in one of its lists than the archiver takes at once,
-- archive_sort moves entries to a list for each store, <list>:<scope>. `turns` names these lists, each once, the next one
-- first.

-- Ends the turn of a list. It gets another one if it still has entries.
local function end_turn(list)
  if redis.call('LREM', P .. 'turns', 1, list) > 0 and redis.call('EXISTS', P .. list) == 1 then
    redis.call('RPUSH', P .. 'turns', list)
  end
end
