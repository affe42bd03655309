-- What every script shares. It is put in front of each of them by scripts.py.
--
-- KEYS[1]  the ledger's prefix, edw:{shard}: (the hash tag keeps all keys of a shard in one slot)
-- ARGV[1]  one msgpack map with the script's arguments, and lane_cap; durations and times are milliseconds
--
-- Keys, all behind the prefix but for the plain queue, which is named for producers (A.list: edw.intake, a list; new
-- messages at its left end):
--   gauges                 the process that reads the gauges of metrics, until another may
--   meta                   hash  format, batches (the number of the last one that was taken of the plain queue)
--   counters               hash  accepted duplicates matched unmatched set_aside rejected
--                                opened reopened succeeded failed cancelled attempts lost
--                                circuits_opened circuits_closed
--   inbox                  zset  event ref -> when it is announced next
--   event:<ref>            hash  id type scope raw digest accepted_at open door failures announced observers lost
--                                trace (the trace context that it belongs to, where there is one)
--   event:<ref>:jobs       list  ids of the jobs it opened
--   events:<s>             zset  event ref -> accepted_at, of a scope; may name some whose record is gone
--   job:<id>               hash  event lane size state reason attempts base epoch lost owner done deadline opened_at
--                                ended_at redelivery tried (the integration's revision by which it last failed)
--                                call (of its owner, by which it was leased; 0 where it was seized, or never was)
--   jobs:<integration>     zset  job -> opened_at
--   pending                zset  job -> when its deadline is looked at; a job is pending exactly while it is in here
--   lane:<id>              hash  scope revision hold ('', paused, disabled, closing) cap rest_until
--                                announced announced_until
--                                rate (deliveries a second) used_until (a bucket's, see bucket_of)
--                                circuit ('', open, half) circuit_until trips failures window_from window_all window_failed
--                                failing_since failing_attempts failing_job failing_jobs failing_warned (nothing but
--                                failures since then: see settle)
--                                bytes (of the events that its due jobs are of) filled (% of its backlog, warned of)
--                                hasten hasten_from (see hasten)
--                                renewed (the revision by which its configuration last became another)
--   lane:<id>:due          zset  job -> due time
--   lane:<id>:leased       set   jobs in flight, across the fleet
--   lanes                  zset  the index: lane -> when it next wants service
--   held                   set   lanes on hold that have due jobs
--   closing                set   lanes of deleted integrations, to be emptied
--   overflowing            set   lanes that have more due than they may, the oldest of which are to go
--   hastening              set   lanes of which what is due later is to be due now
--   untold                 set   integrations that the fleet disabled, of which no event tells yet
--   owners                 zset  process -> when its lease ends
--   owner:<id>:leases      set   jobs that the process has in flight
--   swept                  time of the last sweep for dead processes
--   integration:<id>       hash  scope doc enabled reason created_at updated_at revision
--                                resealed (how often its secrets were sealed by another key)
--   scope:<s>              hash  version floor
--   scope:<s>:changes      zset  integration -> the scope's version when it last changed (deleted ones too)
--   scope:<s>:gone         zset  deleted integration -> the scope's version when it was deleted
--   scope:<s>:list         zset  integration -> created_at
--   intake:<s>             time until which a scope has used up its allowance of events (admit)
--   log:<job>:<attempt>    JSON of one IntegrationLog
--   logs:store:<s>  logs:integration:<id>  logs:failures:<s>     zset  <job>:<attempt> -> time
--   intake-next            list  a message of the plain queue by which a waiting process was woken: it is taken next
--   intake-taken:<owner>   list  messages of the plain queue that a process has taken, the oldest at the right end
--   takers                 zset  process that has taken some -> the number of its batch, 0 while it is given back
--   lost-messages          hash  SHA-1 of a message of the plain queue -> how many processes died that had taken it
--   came-back:<message>    how often the broker delivered a message again (written without a script)
--   rejected               list  what nobody could be told was refused, newest first
--   token:<id>             hash  kind role org store platform name digest created_at; of a bearer, parent expires_at
--   tokens                 zset  token or client -> created_at
--   client:<id>:bearers    zset  bearer -> when it expires

local P = KEYS[1]
local A = cmsgpack.unpack(ARGV[1])
local CLOCK = redis.call('TIME')
local NOW = CLOCK[1] * 1000 + math.floor(CLOCK[2] / 1000)

-- A lane at its cap is looked at again after this long even if no settlement reports room (ms).
local FULL_LANE_RECHECK = 5000

local tally = {}
local function count(name, n)
  tally[name] = (tally[name] or 0) + (n or 1)
end

-- By how many bytes the events of a lane's due jobs have become more or less.
local swollen = {}
local function swell(lane, bytes)
  swollen[lane] = (swollen[lane] or 0) + bytes
end

local function write_counts()
  for name, n in pairs(tally) do redis.call('HINCRBY', P .. 'counters', name, n) end
  for lane, bytes in pairs(swollen) do
    local key = P .. 'lane:' .. lane
    -- The last job of a deleted integration takes its lane with it.
    if bytes ~= 0 and redis.call('HEXISTS', key, 'scope') == 1 then redis.call('HINCRBY', key, 'bytes', bytes) end
  end
end

local function num(value) return tonumber(value or 0) or 0 end

-- A lane's own cap, or the fleet's (A.lane_cap) where it has none.
local function cap_of(value)
  local cap = num(value)
  return cap > 0 and cap or A.lane_cap
end

-- A rate limit's bucket (GCRA): how many attempts may begin now, and when the next one may where none may. It holds this
-- many ms' worth of them, and one at least.
local BUCKET = 100
local function bucket_of(rate, used_until)
  local gap = 1000 / rate
  local from = math.max(used_until, NOW) + gap - math.max(gap, BUCKET)
  if from > NOW then return 0, math.ceil(from) end
  return math.floor((NOW - from) / gap) + 1, 0
end

-- A lane's policy as it is now: by how many at once it may be served (`cap`), from when on (`from`), and how many attempts
-- its rate leaves (`tokens`). An open circuit rests it, and until one that was open has closed, a single attempt at a time
-- shows whether the receiver is back.
local function policy_of(id)
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'scope', 'hold', 'cap', 'rest_until', 'revision', 'circuit',
    'circuit_until', 'announced_until', 'rate', 'used_until')
  local lane = { id = id, exists = h[1] and true or false, scope = h[1], hold = h[2] or '', cap = cap_of(h[3]),
                 from = num(h[4]), revision = num(h[5]), circuit = h[6] or '', announced_until = num(h[8]),
                 rate = num(h[9]), used_until = num(h[10]), tokens = math.huge }
  if lane.circuit ~= '' then
    lane.cap = 1
    if lane.circuit == 'open' then lane.from = math.max(lane.from, num(h[7])) end
  end
  if lane.rate > 0 then
    local refilled
    lane.tokens, refilled = bucket_of(lane.rate, lane.used_until)
    lane.from = math.max(lane.from, refilled)
  end
  return lane
end

-- The lane's policy, read once a call. `free` is the quota that is left across the fleet.
local lanes_read = {}
local function lane_state(id)
  local lane = lanes_read[id]
  if lane then return lane end
  lane = policy_of(id)
  lane.free = lane.cap - redis.call('SCARD', P .. 'lane:' .. id .. ':leased')
  lanes_read[id] = lane
  return lane
end

-- Attempts of a lane begin: its quota and its rate have that much less.
local function use(lane, attempts)
  lane.free = lane.free - attempts
  if lane.rate > 0 then
    lane.tokens = lane.tokens - attempts
    lane.used_until = math.max(lane.used_until, NOW) + attempts * 1000 / lane.rate
    redis.call('HSET', P .. 'lane:' .. lane.id, 'used_until', string.format('%.3f', lane.used_until))
  end
end

local function first_due(id)
  local head = redis.call('ZRANGE', P .. 'lane:' .. id .. ':due', 0, 0, 'WITHSCORES')
  return head[1] and tonumber(head[2])
end

-- Invariant 6: a lane is in the index exactly while it has due jobs and is not held. Answers whether a claim on it would
-- find work now.
local function reindex(id)
  local due = first_due(id)
  if not due then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SREM', P .. 'held', id)
    return false
  end
  local lane = policy_of(id)
  if not lane.exists or lane.hold ~= '' then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SADD', P .. 'held', id)
    return false
  end
  local ready = math.max(due, lane.from)
  local full = redis.call('SCARD', P .. 'lane:' .. id .. ':leased') >= lane.cap
  local at = math.max(ready, lane.announced_until, full and NOW + FULL_LANE_RECHECK or 0)
  redis.call('ZADD', P .. 'lanes', at, id)
  return not full and ready <= NOW
end

-- Lanes whose place in the index may have changed. Reindexing them answers those that have ready jobs and room.
local touched, is_touched = {}, {}
local function touch(id)
  if is_touched[id] then return end
  is_touched[id] = true
  touched[#touched + 1] = id
end
local function reindex_touched()
  local ready = {}
  for _, id in ipairs(touched) do
    if reindex(id) then ready[#ready + 1] = id end
  end
  return ready
end

local function retain_event(ref)
  redis.call('PEXPIRE', P .. 'event:' .. ref, A.event_retention)
  redis.call('PEXPIRE', P .. 'event:' .. ref .. ':jobs', A.event_retention)
end

-- Puts an event into the inbox, once: e = {ref id type scope raw digest trace?}. A.grace: ms until it is announced by a sweep;
-- A.horizon: ms for which an event can be known at most. Answers 0 new, 1 a duplicate, 2 a duplicate with other content.
local function accept_event(e)
  local key = P .. 'event:' .. e.ref
  local digest = redis.call('HGET', key, 'digest')
  if digest then
    count('duplicates')
    return digest == e.digest and 1 or 2
  end
  -- Of an event that a store lost, a late settlement may have left a stub that is about to expire.
  redis.call('DEL', key, key .. ':jobs')
  redis.call('HSET', key, 'id', e.id, 'type', e.type, 'scope', e.scope,
    'raw', e.raw, 'digest', e.digest, 'accepted_at', NOW, 'open', 0, 'door', A.door)
  if e.trace then redis.call('HSET', key, 'trace', e.trace) end
  redis.call('ZADD', P .. 'inbox', NOW + A.grace, e.ref)
  count('accepted')
  local index = P .. 'events:' .. e.scope
  redis.call('ZADD', index, NOW, e.ref)
  redis.call('PEXPIRE', index, A.horizon)
  -- Retention drops records one by one, in no order. Looking at two for each that comes keeps most of the index alive.
  for _, ref in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
    if redis.call('EXISTS', P .. 'event:' .. ref) == 0 then redis.call('ZREM', index, ref) end
  end
  return 0
end

-- Keeps refusals, entries = [JSON], in the bounded list of them: A.rejected_cap.
local function keep_rejected(entries)
  if #entries == 0 then return end
  for _, entry in ipairs(entries) do redis.call('LPUSH', P .. 'rejected', entry) end
  redis.call('LTRIM', P .. 'rejected', 0, A.rejected_cap - 1)
  count('rejected', #entries)
end

-- A page of an index, the newest first. `load(member)` answers its record, or nil where that is gone; then the member
-- leaves the index, and the next one takes its place. Answers the records and how many members there are in all.
local PAGE_MENDS = 1000
local function page_of(index, offset, limit, load)
  local records, mends = {}, PAGE_MENDS
  while #records < limit do
    local first = offset + #records
    local members = redis.call('ZRANGE', index, first, first + limit - #records - 1, 'REV')
    local mended = 0
    for _, member in ipairs(members) do
      local record = load(member)
      if record then
        records[#records + 1] = record
      elseif mends > 0 then
        redis.call('ZREM', index, member)
        mended, mends = mended + 1, mends - 1
      end
    end
    if mended == 0 then break end
  end
  return records, redis.call('ZCARD', index)
end

-- A portion of a time-scored index, the oldest first, from A.since to A.till (ms) and at most A.limit; behind A.after,
-- a member of the time A.since, where that is not ''. Answers {member, time, member, time …}.
local function portion_of(index)
  if A.after == '' then
    return redis.call('ZRANGE', index, A.since, A.till, 'BYSCORE', 'LIMIT', 0, A.limit, 'WITHSCORES')
  end
  local rank = redis.call('ZRANK', index, A.after)
  -- It has left the index meanwhile: then all of its time again, since to look at one twice does no harm.
  local first = rank and rank + 1 or redis.call('ZCOUNT', index, '-inf', string.format('(%.0f', A.since))
  local found = redis.call('ZRANGE', index, first, first + A.limit - 1, 'WITHSCORES')
  while #found > 0 and tonumber(found[#found]) > A.till do
    found[#found], found[#found - 1] = nil, nil
  end
  return found
end

-- What a script that looks at a portion answers of it: how many it looked at, and where the next one begins.
local function place_after(found)
  return { looked_at = #found / 2, since = #found > 0 and tonumber(found[#found]) or A.since,
           after = #found > 0 and found[#found - 1] or A.after, done = #found < 2 * A.limit and 1 or 0 }
end

-- A hash as a map; nil where there is none.
local function hash(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

-- An integration as it is written, with the circuit of its lane.
local function integration_record(id)
  local row = hash(P .. 'integration:' .. id)
  if not row then return nil end
  local lane = redis.call('HMGET', P .. 'lane:' .. id, 'circuit', 'circuit_until', 'failing_since', 'failing_attempts')
  row.circuit, row.circuit_until = lane[1] or '', lane[2] or '0'
  row.failing_since, row.failing_attempts = lane[3] or '0', lane[4] or '0'
  return { id = id, row = row }
end

-- A job as people see it: its record, its event's id and type, and when it is due.
local function job_record(id)
  local job = hash(P .. 'job:' .. id)
  if not job then return nil end
  local event = redis.call('HMGET', P .. 'event:' .. job.event, 'id', 'type')
  return { id = id, row = job, event_id = event[1] or '', event_type = event[2] or '',
           due = num(redis.call('ZSCORE', P .. 'lane:' .. job.lane .. ':due', id) or -1) }
end

-- Ends a pending job that is neither due nor leased any more. One whose record is gone (a store that lost keys) only
-- leaves the list of the pending.
local function end_job(job, ref, state, reason)
  if not ref then
    redis.call('ZREM', P .. 'pending', job)
    return
  end
  redis.call('HSET', P .. 'job:' .. job, 'state', state, 'reason', reason, 'owner', '', 'ended_at', NOW)
  redis.call('PEXPIRE', P .. 'job:' .. job, A.event_retention)
  redis.call('ZREM', P .. 'pending', job)
  count(state)
  if redis.call('HINCRBY', P .. 'event:' .. ref, 'open', -1) <= 0 and not redis.call('ZSCORE', P .. 'inbox', ref) then
    retain_event(ref)
  end
end

local function lease(job, lane, owner)
  redis.call('SADD', P .. 'lane:' .. lane .. ':leased', job)
  redis.call('SADD', P .. 'owner:' .. owner .. ':leases', job)
end

local function unlease(job, lane, owner)
  redis.call('SREM', P .. 'lane:' .. lane .. ':leased', job)
  redis.call('SREM', P .. 'owner:' .. owner .. ':leases', job)
end

-- A process that holds a lease is always among the owners, or nobody would ever reap it.
local function renew(owner)
  redis.call('ZADD', P .. 'owners', 'GT', NOW + A.lease, owner)
end

-- A job enters its lane's due jobs, or is due at another time than it was; `size` is its event's.
local function make_due(job, lane, at, size)
  if redis.call('ZADD', P .. 'lane:' .. lane .. ':due', at, job) == 1 then swell(lane, num(size)) end
  touch(lane)
end

-- A job leaves its lane's due jobs; false where it was not among them.
local function take_due(job, lane, size)
  if redis.call('ZREM', P .. 'lane:' .. lane .. ':due', job) == 0 then return false end
  swell(lane, -num(size))
  return true
end

-- A leased job that was never begun goes back, due now, and the number of its attempt is un-issued. False where it is not the
-- owner's by that attempt any more.
local function give_back(job, owner, attempt)
  local key = P .. 'job:' .. job
  local j = redis.call('HMGET', key, 'owner', 'attempts', 'done', 'event', 'size', 'lane')
  local lane = j[6]
  if j[1] ~= owner or num(j[2]) ~= attempt then return false end
  redis.call('HSET', key, 'attempts', attempt - 1, 'owner', '')
  count('attempts', -1)
  unlease(job, lane, owner)
  if j[3] then
    -- An earlier attempt turned out to have succeeded meanwhile.
    touch(lane)
    end_job(job, j[4], 'succeeded', '')
  else
    make_due(job, lane, NOW, j[5])
  end
  return true
end

-- The oldest due jobs of a lane, or the newest (`pop` is ZPOPMIN or ZPOPMAX), end at once.
local function cancel_due(lane, pop, n, reason)
  local popped = redis.call(pop, P .. 'lane:' .. lane .. ':due', n)
  for i = 1, #popped, 2 do
    local j = redis.call('HMGET', P .. 'job:' .. popped[i], 'event', 'size')
    swell(lane, -num(j[2]))
    end_job(popped[i], j[1], 'cancelled', reason)
  end
  touch(lane)
  return #popped / 2
end

-- Of a lane with more than it may have, the oldest job goes. What has been due since before now is older than what is
-- opened now; so is a retry that is due later, and the one that is due last has been tried most often.
local function overflow(lane, n)
  local due = P .. 'lane:' .. lane .. ':due'
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  local last = redis.call('ZRANGE', due, -1, -1, 'WITHSCORES')
  local from_the_end = #first > 0 and tonumber(first[2]) >= NOW and tonumber(last[2]) > NOW
  return cancel_due(lane, from_the_end and 'ZPOPMAX' or 'ZPOPMIN', n, 'lane_overflow')
end

-- Looks at how full a lane's backlog is (A.backlog jobs, A.backlog_bytes). Of what is too much, as many jobs go as were
-- `opened` just now, and the rest by expire. Answers the % that it has passed since it was warned of last, with its jobs
-- and bytes, or nothing.
local FILL_WARNINGS = { 90, 50 }
local function fill(id, opened)
  local key = P .. 'lane:' .. id
  local h = redis.call('HMGET', key, 'bytes', 'filled')
  local jobs, bytes, warned = redis.call('ZCARD', key .. ':due'), num(h[1]) + (swollen[id] or 0), num(h[2])
  local share = math.max(jobs / A.backlog, A.backlog_bytes > 0 and bytes / A.backlog_bytes or 0) * 100
  if jobs > A.backlog then overflow(id, math.min(jobs - A.backlog, opened)) end
  if share > 100 then redis.call('SADD', P .. 'overflowing', id) end
  local passed = 0
  for _, percent in ipairs(FILL_WARNINGS) do
    if passed == 0 and share >= percent then passed = percent end
  end
  if passed > warned then
    redis.call('HSET', key, 'filled', passed)
    return passed, jobs, bytes
  end
  -- It is warned of again once it has been clearly below.
  if warned > 0 and share < warned - 10 then redis.call('HSET', key, 'filled', passed) end
end

-- Whether a lane's backlog (A.backlog jobs, A.backlog_bytes) has room for a job of an event of `size` bytes. An empty one has
-- room for any, or what is larger than the whole would be asked for for ever.
local function has_room(id, size)
  local key = P .. 'lane:' .. id
  local jobs = redis.call('ZCARD', key .. ':due')
  if jobs == 0 or A.backlog_bytes <= 0 then return jobs < A.backlog end
  local bytes = num(redis.call('HGET', key, 'bytes')) + (swollen[id] or 0)
  return jobs < A.backlog and bytes + size <= A.backlog_bytes
end

-- Whether the event has that job, and whether one is left of an earlier event of the same id: each record has its own
-- retention, and a job's may outlive its event's.
local function has_job(id, ref)
  local j = redis.call('HMGET', P .. 'job:' .. id, 'state', 'opened_at')
  if not j[1] then return false, false end
  local had = j[1] == 'pending' or num(j[2]) >= num(redis.call('HGET', P .. 'event:' .. ref, 'accepted_at'))
  return had, not had
end

-- Opens a job of an event of `size` bytes: leased by the owner (by A.call) as its first attempt, or due now. What is left of an earlier
-- one (then it has no owner) goes on being numbered, as after a redelivery: its logs may be there still.
local function open_job(id, ref, lane, owner, size)
  local left = owner and {} or redis.call('HMGET', P .. 'job:' .. id, 'attempts', 'epoch')
  local base = num(left[1])
  if left[2] then redis.call('DEL', P .. 'job:' .. id) end
  -- The indexes first: where one of them is damaged nothing is owed yet, and the event is tried again.
  redis.call('ZADD', P .. 'jobs:' .. lane, NOW, id)
  redis.call('RPUSH', P .. 'event:' .. ref .. ':jobs', id)
  redis.call('HSET', P .. 'job:' .. id, 'event', ref, 'lane', lane, 'size', size, 'state', 'pending',
    'attempts', owner and 1 or base, 'base', base, 'epoch', left[2] and num(left[2]) + 1 or 0, 'lost', 0,
    'owner', owner or '', 'call', owner and A.call or 0, 'opened_at', NOW, 'deadline', NOW + A.deadline)
  redis.call('ZADD', P .. 'pending', NOW + A.deadline, id)
  redis.call('HINCRBY', P .. 'event:' .. ref, 'open', 1)
  count('opened')
  if owner then lease(id, lane, owner) else make_due(id, lane, NOW, size) end
end

-- Puts an event into a reply of the shape {meta, raw, raw ...}, once; answers the bytes that this added, or nil
-- where the event's record is gone (retention, or a store restored from an old copy).
local sent = {}
local function send_event(meta, reply, ref)
  if sent[ref] then return 0 end
  local e = redis.call('HMGET', P .. 'event:' .. ref, 'id', 'accepted_at', 'raw', 'scope', 'door', 'trace')
  if not e[3] then return nil end
  sent[ref] = true
  meta.events[#meta.events + 1] =
    { ref = ref, id = e[1], accepted_at = num(e[2]), scope = e[4] or '', door = e[5] or '', trace = e[6] or nil }
  reply[#reply + 1] = e[3]
  return #e[3], e[4]
end

-- A scope's next version: never one that a snapshot from before a lost or restored store may have.
local function next_version(scope)
  local version = math.max(num(redis.call('HGET', scope, 'version')) + 1, NOW)
  redis.call('HSET', scope, 'version', version)
  return version
end

-- What a changed configuration ends: what the old one's receiver earned.
local EARNED = { 'rest_until', 'circuit', 'circuit_until', 'trips', 'failures', 'window_from', 'window_all',
  'window_failed', 'failing_since', 'failing_attempts', 'failing_job', 'failing_jobs', 'failing_warned' }

-- A chunk of what a lane has due later, last tried by a revision before `hasten`, is due now; the earliest first.
-- `hasten_from` is how far it has come. A ms holds no more of them than one chunk and a few settlements.
local HASTEN = 100
local function hasten(id)
  local key, due = P .. 'lane:' .. id, P .. 'lane:' .. id .. ':due'
  local h = redis.call('HMGET', key, 'hasten', 'hasten_from')
  -- What became due meanwhile needs no haste, and neither does what this made due itself: it keeps its turn.
  local revision, from = num(h[1]), math.max(num(h[2]), NOW)
  local chunk = redis.call('ZRANGE', due, string.format('(%.0f', from), '+inf', 'BYSCORE', 'LIMIT', 0, HASTEN, 'WITHSCORES')
  if #chunk > 0 then
    local last = chunk[#chunk]
    local same = redis.call('ZRANGE', due, last, last, 'BYSCORE', 'LIMIT', 0, HASTEN)
    for i = 1, #chunk, 2 do same[#same + 1] = chunk[i] end
    for _, job in ipairs(same) do
      if num(redis.call('HGET', P .. 'job:' .. job, 'tried')) < revision then redis.call('ZADD', due, NOW, job) end
    end
    redis.call('HSET', key, 'hasten_from', last)
  end
  if #chunk < 2 * HASTEN then
    redis.call('HDEL', key, 'hasten', 'hasten_from')
    redis.call('SREM', P .. 'hastening', id)
  end
  touch(id)
end
