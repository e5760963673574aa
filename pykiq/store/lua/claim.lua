-- Claim jobs: move each from its queue to this process's in-flight list, and renew the lease in the same step.
--
-- A queue whose key is not a list is passed over, and so is one whose in-flight list is none: an error in the middle
-- would leave jobs in flight that nobody was told of.
--
-- KEYS  1 lease, 2 hash of owners, then pairs in the order to try them: queue list, in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most;
--       where each job's queue is drawn by weight: 5 a seed, 6… the weight of each pair
-- returns a flat list: pair number, raw bytes, pair number, raw bytes …;
--         where there were fewer jobs than asked for, for each queue that was passed over: pair number below zero, error;
--         where queues are drawn: 0, the weight of those that have not turned out to be empty
--
-- PEXPIRE goes first: a server that is full refuses SET and LMOVE, but not what follows a script's first write. Its
-- queues must be worked off then of all times.
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local FEW = 3 -- jobs of a queue, up to which each is moved by a command of its own
local most, last, by_weight = tonumber(ARGV[4]), #KEYS / 2 - 1, ARGV[5] ~= nil
-- First only lengths decide which queue each job comes from, then each queue gives all of its jobs in three commands:
-- one for every job would cost Redis half as much again.
local left, taken, drawn, refused = {}, {}, {}, {}
local function left_in(pair)
  if not left[pair] then
    local length = redis.pcall('LLEN', KEYS[1 + 2 * pair])
    if type(length) == 'table' then refused[pair], length = length.err, 0 end
    left[pair], taken[pair] = length, 0
  end
  return left[pair]
end
local open, weights = 0, {}
if by_weight then
  math.randomseed(tonumber(ARGV[5])) -- or Redis gives every script the same numbers
  for pair = 1, last do
    weights[pair] = tonumber(ARGV[5 + pair])
    open = open + weights[pair]
  end
  local number = 0
  while number < most and open > 0 do
    local at, pair = math.random(open), 1
    while at > weights[pair] do at, pair = at - weights[pair], pair + 1 end
    if left_in(pair) > 0 then
      left[pair], taken[pair] = left[pair] - 1, taken[pair] + 1
      number = number + 1
      drawn[number] = pair
    else
      open, weights[pair] = open - weights[pair], 0
    end
  end
else
  for pair = 1, last do
    if #drawn == most then break end
    taken[pair] = math.min(left_in(pair), most - #drawn)
    for _ = 1, taken[pair] do drawn[#drawn + 1] = pair end
  end
end
local jobs = {} -- by pair, the newest first
for pair, count in pairs(taken) do
  local queue, inflight = KEYS[1 + 2 * pair], KEYS[2 + 2 * pair]
  local moved = {}
  if count <= FEW then
    for i = count, 1, -1 do
      moved[i] = redis.pcall('LMOVE', queue, inflight, 'RIGHT', 'LEFT')
      if type(moved[i]) == 'table' then -- a key of another type: the jobs stay in their queue
        refused[pair], moved, count = moved[i].err, {}, 0
        break
      end
    end
  else
    moved = redis.call('LRANGE', queue, -count, -1)
    local pushed = 0
    while pushed < count do -- the oldest first; 1,000 at a time, for Lua takes only so many arguments
      local some = {}
      for i = count - pushed, math.max(count - pushed - 999, 1), -1 do some[#some + 1] = moved[i] end
      local written = redis.pcall('LPUSH', inflight, unpack(some))
      if type(written) == 'table' then refused[pair], moved, count = written.err, {}, 0 end
      pushed = pushed + #some
    end
    if count > 0 then redis.call('LTRIM', queue, 0, -count - 1) end
  end
  jobs[pair], taken[pair] = moved, count
end
local claimed, at = {}, 0
local function add(pair, raw)
  claimed[at + 1], claimed[at + 2] = pair, raw
  at = at + 2
end
for _, pair in ipairs(drawn) do
  local raw = jobs[pair][taken[pair]]
  taken[pair] = taken[pair] - 1
  if raw then add(pair, raw) end
end
if at < 2 * most then
  for pair, error in pairs(refused) do add(-pair, error) end
end
if by_weight then add(0, open) end
return claimed
