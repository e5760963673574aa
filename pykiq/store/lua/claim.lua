-- Claim jobs: move each from its queue to this process's in-flight list, and renew the lease in the same step.
--
-- A queue whose key is not a list is passed over, and so is one whose in-flight list is none: an error in the middle
-- would leave jobs in flight that nobody was told of.
--
-- KEYS  1 lease, 2 hash of owners, then pairs: queue list, in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most,
--       then one or more orders: a string of pair numbers, two bytes each, tried left to right;
--       job k uses order k, or the last order when there are fewer
-- returns a flat list: pair number, raw bytes, pair number, raw bytes …; and where there were fewer jobs than asked for,
-- for each queue that was passed over: pair number below zero, error
--
-- PEXPIRE goes first: a server that is full refuses SET and LMOVE, but not what follows a script's first write. Its
-- queues must be worked off then of all times.
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
-- First only lengths decide which queue each job comes from, then each queue gives all of its jobs in three commands:
-- one for every job would cost Redis half as much again.
local lengths, taken, drawn, refused = {}, {}, {}, {}
local function left(pair)
  if not lengths[pair] then
    local length = redis.pcall('LLEN', KEYS[1 + 2 * pair])
    if type(length) == 'table' then refused[pair], length = length.err, 0 end
    lengths[pair], taken[pair] = length, 0
  end
  return lengths[pair] - taken[pair]
end
local last = #ARGV
for k = 1, tonumber(ARGV[4]) do
  local order, got = ARGV[math.min(4 + k, last)], false
  for j = 1, #order, 2 do
    local high, low = string.byte(order, j, j + 1)
    local pair = high * 256 + low
    if left(pair) > 0 then
      taken[pair] = taken[pair] + 1
      drawn[k], got = pair, true
      break
    end
  end
  if not got then break end
end
local jobs = {} -- by pair, the newest first
for pair, count in pairs(taken) do
  local queue, inflight = KEYS[1 + 2 * pair], KEYS[2 + 2 * pair]
  jobs[pair] = count > 0 and redis.call('LRANGE', queue, -count, -1) or {}
  local pushed = 0
  while pushed < count do -- the oldest first; 1,000 at a time, for Lua takes only so many arguments
    local some = {}
    for i = count - pushed, math.max(count - pushed - 999, 1), -1 do some[#some + 1] = jobs[pair][i] end
    local written = redis.pcall('LPUSH', inflight, unpack(some))
    if type(written) == 'table' then -- a key of another type: the jobs stay in their queue
      refused[pair], jobs[pair], count = written.err, {}, 0
    end
    pushed = pushed + #some
  end
  if count > 0 then redis.call('LTRIM', queue, 0, -count - 1) end
end
local claimed = {}
for _, pair in ipairs(drawn) do
  local raw = table.remove(jobs[pair])
  if raw then
    claimed[#claimed + 1] = pair
    claimed[#claimed + 1] = raw
  end
end
if #claimed < 2 * tonumber(ARGV[4]) then
  for pair, error in pairs(refused) do
    claimed[#claimed + 1] = -pair
    claimed[#claimed + 1] = error
  end
end
return claimed
