-- What every script shares. It is put in front of each of them by scripts.py.
--
-- KEYS[1]  the ledger's prefix, edw:{shard}: (the hash tag keeps all keys of a shard in one slot)
-- ARGV[1]  one msgpack map with the script's arguments, and lane_cap; durations and times are milliseconds
--
-- Keys, all behind the prefix but for the plain queue, which is named for producers (A.list: edw.intake, a list; new
-- messages at its left end):
--   meta                   hash  format, batches (the number of the last one that was taken of the plain queue)
--   counters               hash  accepted duplicates matched unmatched set_aside rejected
--                                opened reopened succeeded failed cancelled attempts lost
--                                circuits_opened circuits_closed
--   inbox                  zset  event ref -> when it is announced next
--   event:<ref>            hash  id type scope raw digest accepted_at open failures announced
--   event:<ref>:jobs       list  ids of the jobs it opened
--   events:<s>             zset  event ref -> accepted_at, of a scope; may name some whose record is gone
--   job:<id>               hash  event lane state reason attempts base epoch lost owner done deadline opened_at
--                                ended_at redelivery
--   jobs:<integration>     zset  job -> opened_at
--   pending                zset  job -> when its deadline is looked at; a job is pending exactly while it is in here
--   lane:<id>              hash  scope revision hold cap rest_until announced announced_until
--                                circuit ('', open, half) circuit_until trips failures window_from window_all window_failed
--   lane:<id>:due          zset  job -> due time
--   lane:<id>:leased       set   jobs in flight, across the fleet
--   lanes                  zset  the index: lane -> when it next wants service
--   held                   set   lanes on hold that have due jobs
--   closing                set   lanes of deleted integrations, to be emptied
--   owners                 zset  process -> when its lease ends
--   owner:<id>:leases      set   jobs that the process has in flight
--   swept                  time of the last sweep for dead processes
--   integration:<id>       hash  scope doc enabled reason created_at updated_at revision
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
local function write_counts()
  for name, n in pairs(tally) do redis.call('HINCRBY', P .. 'counters', name, n) end
end

local function num(value) return tonumber(value or 0) or 0 end

-- A lane's own cap, or the fleet's (A.lane_cap) where it has none.
local function cap_of(value)
  local cap = num(value)
  return cap > 0 and cap or A.lane_cap
end

-- When a lane may be served, and by how many at once: an open circuit rests it, and until one that was open has closed,
-- a single attempt at a time shows whether the receiver is back.
local function service_of(rest_until, cap, circuit, circuit_until)
  if not circuit or circuit == '' then return num(rest_until), cap_of(cap) end
  return math.max(num(rest_until), circuit == 'open' and num(circuit_until) or 0), 1
end

-- The lane's policy, read once a call. `free` is the quota that is left across the fleet.
local lanes_read = {}
local function lane_state(id)
  local lane = lanes_read[id]
  if lane then return lane end
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'scope', 'hold', 'cap', 'rest_until', 'revision', 'circuit',
    'circuit_until')
  lane = { id = id, exists = h[1] and true or false, scope = h[1], hold = h[2] or '', revision = num(h[5]),
           circuit = h[6] or '' }
  lane.rest_until, lane.cap = service_of(h[4], h[3], h[6], h[7])
  lane.free = lane.cap - redis.call('SCARD', P .. 'lane:' .. id .. ':leased')
  lanes_read[id] = lane
  return lane
end

local function first_due(id)
  local head = redis.call('ZRANGE', P .. 'lane:' .. id .. ':due', 0, 0, 'WITHSCORES')
  return head[1] and tonumber(head[2])
end

-- Invariant 6: a lane is in the index exactly while it has due jobs and is not held.
local function reindex(id)
  local due = first_due(id)
  if not due then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SREM', P .. 'held', id)
    return
  end
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'hold', 'rest_until', 'announced_until', 'cap', 'circuit',
    'circuit_until')
  if not h[4] or (h[1] and h[1] ~= '') then
    redis.call('ZREM', P .. 'lanes', id)
    redis.call('SADD', P .. 'held', id)
    return
  end
  local from, cap = service_of(h[2], h[4], h[5], h[6])
  local at = math.max(due, from, num(h[3]))
  if redis.call('SCARD', P .. 'lane:' .. id .. ':leased') >= cap then
    at = math.max(at, NOW + FULL_LANE_RECHECK)
  end
  redis.call('ZADD', P .. 'lanes', at, id)
end

local touched = {}
local function touch(id) touched[id] = true end
local function reindex_touched()
  for id in pairs(touched) do reindex(id) end
end

-- True where a claim on the lane would find work now.
local function wants_service(id)
  local h = redis.call('HMGET', P .. 'lane:' .. id, 'hold', 'rest_until', 'cap', 'circuit', 'circuit_until')
  if not h[3] or (h[1] and h[1] ~= '') then return false end
  local from, cap = service_of(h[2], h[3], h[4], h[5])
  if from > NOW then return false end
  local due = first_due(id)
  return due and due <= NOW and redis.call('SCARD', P .. 'lane:' .. id .. ':leased') < cap
end

local function retain_event(ref)
  redis.call('PEXPIRE', P .. 'event:' .. ref, A.event_retention)
  redis.call('PEXPIRE', P .. 'event:' .. ref .. ':jobs', A.event_retention)
end

-- Puts an event into the inbox, once: e = {ref id type scope raw digest}. A.grace: ms until it is announced by a sweep;
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
    'raw', e.raw, 'digest', e.digest, 'accepted_at', NOW, 'open', 0)
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
  local lane = redis.call('HMGET', P .. 'lane:' .. id, 'circuit', 'circuit_until')
  row.circuit, row.circuit_until = lane[1] or '', lane[2] or '0'
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

local function make_due(job, lane, at)
  redis.call('ZADD', P .. 'lane:' .. lane .. ':due', at, job)
  touch(lane)
end

-- Whether the event has that job, and whether one is left of an earlier event of the same id: each record has its own
-- retention, and a job's may outlive its event's.
local function has_job(id, ref)
  local j = redis.call('HMGET', P .. 'job:' .. id, 'state', 'opened_at')
  if not j[1] then return false, false end
  local had = j[1] == 'pending' or num(j[2]) >= num(redis.call('HGET', P .. 'event:' .. ref, 'accepted_at'))
  return had, not had
end

-- Opens a job of an event: leased by the owner as its first attempt, or due now. What is left of an earlier one (then it
-- has no owner) goes on being numbered, as after a redelivery: its logs may be there still.
local function open_job(id, ref, lane, owner)
  count('opened')
  redis.call('HINCRBY', P .. 'event:' .. ref, 'open', 1)
  local left = owner and {} or redis.call('HMGET', P .. 'job:' .. id, 'attempts', 'epoch')
  local base = num(left[1])
  if left[2] then redis.call('DEL', P .. 'job:' .. id) end
  redis.call('HSET', P .. 'job:' .. id, 'event', ref, 'lane', lane, 'state', 'pending', 'attempts', owner and 1 or base,
    'base', base, 'epoch', left[2] and num(left[2]) + 1 or 0, 'lost', 0, 'owner', owner or '', 'opened_at', NOW, 'deadline', NOW + A.deadline)
  redis.call('ZADD', P .. 'pending', NOW + A.deadline, id)
  redis.call('RPUSH', P .. 'event:' .. ref .. ':jobs', id)
  redis.call('ZADD', P .. 'jobs:' .. lane, NOW, id)
  if owner then lease(id, lane, owner) else make_due(id, lane, NOW) end
end

-- Puts an event into a reply of the shape {meta, raw, raw ...}, once; answers the bytes that this added, or nil
-- where the event's record is gone (retention, or a store restored from an old copy).
local sent = {}
local function send_event(meta, reply, ref)
  if sent[ref] then return 0 end
  local e = redis.call('HMGET', P .. 'event:' .. ref, 'id', 'accepted_at', 'raw', 'scope')
  if not e[3] then return nil end
  sent[ref] = true
  meta.events[#meta.events + 1] = { ref = ref, id = e[1], accepted_at = num(e[2]), scope = e[4] or '' }
  reply[#reply + 1] = e[3]
  return #e[3], e[4]
end

-- A scope's next version: never one that a snapshot from before a lost or restored store may have.
local function next_version(scope)
  local version = math.max(num(redis.call('HGET', scope, 'version')) + 1, NOW)
  redis.call('HSET', scope, 'version', version)
  return version
end

-- Holds an integration's lane and records why; what is owed stays owed.
local function disable(id, reason)
  local key = P .. 'integration:' .. id
  local scope = redis.call('HGET', key, 'scope')
  if not scope or redis.call('HGET', key, 'enabled') == '0' then return end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  redis.call('HSET', key, 'enabled', 0, 'reason', reason, 'updated_at', NOW)
  redis.call('ZADD', P .. 'scope:' .. scope .. ':changes', next_version(P .. 'scope:' .. scope), id)
  redis.call('HSET', P .. 'lane:' .. id, 'hold', 'disabled', 'revision', revision)
  touch(id)
end
