-- needs: collected_writes
-- Identities of events that were archived and forgotten, so that they still count as duplicates for KNOWN ms (clock.lua):
-- sets of digests, one for each half of that time. At most three of them are alive, and each expires whole.

local KNOWN_HALF = math.max(1, math.floor(KNOWN / 2))

-- Returns 14 characters of a reference, which is a digest already (name_uuid.py): 78 bits.
local function digest_of(ref) return string.sub(ref, 1, 14) end

local function known_ids(half)
  return P .. 'known:' .. string.format('%.0f', math.floor(NOW / KNOWN_HALF) - half)
end

local touched_ids = false
-- Remembers an event that is forgotten now; call expire_known() afterwards.
local function remember(ref)
  if KNOWN <= 0 then return end
  later('SADD', known_ids(0), digest_of(ref))
  touched_ids = true
end

local function expire_known()
  if touched_ids then redis.call('PEXPIRE', known_ids(0), 3 * KNOWN_HALF) end
end

-- Returns the references that are remembered, as a set.
local function remembered(refs)
  local found = {}
  if KNOWN <= 0 or #refs == 0 then return found end
  local digests = {}
  for i, ref in ipairs(refs) do digests[i] = digest_of(ref) end
  for half = 0, 2 do
    for i, is in ipairs(redis.call('SMISMEMBER', known_ids(half), unpack(digests))) do
      if is == 1 then found[refs[i]] = true end
    end
  end
  return found
end
