-- The index of lanes whose last attempt failed: of all stores, and of each scope.

local function list_failing(lane, scope)
  redis.call('ZADD', P .. 'failing', NOW, lane)
  if scope then redis.call('ZADD', P .. 'failing:' .. scope, NOW, lane) end
end

local function unlist_failing(lane, scope)
  redis.call('ZREM', P .. 'failing', lane)
  if scope then redis.call('ZREM', P .. 'failing:' .. scope, lane) end
end
