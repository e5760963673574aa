-- Claim from a queue shared with other languages: only jobs whose class has a handler here; the others stay where
-- they are. The class of an ActiveJob is the one inside of Rails' wrapper. Bytes that cannot be read are claimed too,
-- so that they end in the dead set instead of blocking the view.
--
-- A look begins behind an entry that an earlier one has seen. Its place, counted from the old end, was known then;
-- others take from the old end meanwhile, so it is sought a little nearer to it. Nothing here walks through the whole
-- list, which would hold Redis for as long as the queue is, but to take jobs out of the middle; and a look ends early
-- when its entries are large.
--
-- KEYS  1 lease, 2 hash of owners, 3 queue list, 4 in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most,
--       5 the entry to begin behind, '' for the old end, 6 its place when it was seen, 7 1 if that was long ago,
--       8 entries to look at, 9… names of the classes
-- returns: number of entries looked at, 1 if that was up to the newest else 0, the newest one left in place (or its
--          digest) or '', the place behind which the next look begins, then two lists: the classes of what was left in place, each
--          followed by how many, and the raw bytes of the jobs claimed
--
-- PEXPIRE goes first: a server that is full refuses SET and LMOVE, but not what follows a script's first write. Its
-- queues must be worked off then of all times.
local NEAR = 1000      -- entries that others may have taken between two looks of one walk; fewer large ones
local FAR = 20000      -- entries from the new end among which one is sought that was seen long ago
local BYTES = 131072   -- of entries looked at: 1 to 2 ms of reading
local LARGE = 4000     -- bytes from which on an entry is known by its digest
local TAKEN = 'pykiq:taken'  -- stands for an entry until the end of this script
local queue = KEYS[3]
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local wrapper = {
  ['ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper'] = true,
  ['Sidekiq::ActiveJob::Wrapper'] = true,
}
local function bare(name)
  return string.sub(name, 1, 2) == '::' and string.sub(name, 3) or name
end
local function wrapped(job)
  local data = type(job.args) == 'table' and #job.args == 1 and job.args[1]
  local name = type(data) == 'table' and data.job_class
  if type(name) ~= 'string' or bare(name) == '' then name = job.wrapped end
  return type(name) == 'string' and bare(name) or ''
end
local known = {}
for i = 9, #ARGV do known[ARGV[i]] = true end
-- The class to go by, or nil for what is no job.
local function class_of(entry)
  local ok, job = pcall(cjson.decode, entry)
  if not ok or type(job) ~= 'table' or type(job.class) ~= 'string' then return nil end
  local name = bare(job.class)
  local inside = wrapper[name] and not known[name] and wrapped(job) or ''
  return inside ~= '' and inside or name
end
-- What stands for an entry behind which a look begins: a large one is not sent there and back, nor may Redis send it.
local function mark(entry)
  return #entry > LARGE and 'sha1 ' .. redis.sha1hex(entry) or entry
end
local total = redis.call('LLEN', queue)
-- How many entries are as old as that one or older.
local function place_of(entry, place, long_ago)
  if entry == '' then return 0 end
  place = math.min(place, total)
  local there = place > 0 and redis.call('LINDEX', queue, -place)
  if there and mark(there) == entry then return place end
  local passed, bytes = 0, 0
  while passed < math.min(NEAR, place) and bytes < 8 * BYTES do
    for _, one in ipairs(redis.call('LRANGE', queue, passed - place, math.min(passed - place + 49, -1))) do
      if mark(one) == entry then return place - passed end
      passed, bytes = passed + 1, bytes + #one
    end
  end
  if long_ago and string.sub(entry, 1, 5) ~= 'sha1 ' then
    local newer = redis.call('LPOS', queue, entry, 'MAXLEN', FAR)
    if newer then return total - newer end
    if total <= FAR then return 0 end -- it is gone, so all that was older is gone too
  end
  return math.max(place - NEAR, 0)
end
local most, window = tonumber(ARGV[4]), tonumber(ARGV[8])
local place = place_of(ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1')
local behind, looked, bytes, at_once, newest = place, 0, 0, 8, ''
local claimed, left, counts = {}, {}, {}
local function goes_on()
  return #claimed < most and looked < window and bytes < BYTES
end
while goes_on() do
  local seen = redis.call('LRANGE', queue, -(behind + looked + math.min(at_once, window - looked)), -(behind + looked + 1))
  if #seen == 0 then break end
  at_once = at_once * 2
  for i = #seen, 1, -1 do
    if not goes_on() then break end
    local entry = seen[i]
    local name = class_of(entry)
    looked, bytes = looked + 1, bytes + #entry
    if not name or known[name] then
      redis.call('LPUSH', KEYS[4], entry) -- first: if it is refused, nothing is lost
      redis.call('LSET', queue, -(behind + looked), TAKEN)
      claimed[#claimed + 1] = entry
    else
      newest, place = mark(entry), place + 1
      if not counts[name] then left[#left + 1] = name end
      counts[name] = (counts[name] or 0) + 1
    end
  end
end
-- A list gives up an entry in its middle only by a search from one end: one for all of them.
if #claimed > 0 then
  local from_old_end = behind <= total - behind
  redis.call('LREM', queue, from_old_end and -#claimed or #claimed, TAKEN)
end
local told = {}
for _, name in ipairs(left) do
  told[#told + 1] = name
  told[#told + 1] = counts[name]
end
return { looked, behind + looked >= total and 1 or 0, newest, place, told, claimed }
