-- Claim jobs: move each from its queue to this process's in-flight list, and renew the lease in the same step.
--
-- A queue whose key is not a list is passed over: an error in the middle would leave jobs in flight that nobody was
-- told of. It is the answer when no other queue had a job.
--
-- KEYS  1 lease, 2 hash of owners, then pairs: queue list, in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most,
--       then one or more orders: a string of pair numbers, two bytes each, tried left to right;
--       job k uses order k, or the last order when there are fewer
-- returns a flat list: pair number, raw bytes, pair number, raw bytes …
-- PEXPIRE goes first: a server that is full refuses SET and LMOVE, but not what follows a script's first write. Its
-- queues must be worked off then of all times.
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local claimed, empty, last, refused = {}, {}, #ARGV, nil
for k = 1, tonumber(ARGV[4]) do
  local order, got = ARGV[math.min(4 + k, last)], false
  for j = 1, #order, 2 do
    local high, low = string.byte(order, j, j + 1)
    local pair = high * 256 + low
    if not empty[pair] then
      local raw = redis.pcall('LMOVE', KEYS[1 + 2 * pair], KEYS[2 + 2 * pair], 'RIGHT', 'LEFT')
      if type(raw) == 'string' then
        claimed[#claimed + 1] = pair
        claimed[#claimed + 1] = raw
        got = true
        break
      end
      if type(raw) == 'table' then refused = raw end
      empty[pair] = true
    end
  end
  if not got then break end
end
if refused and #claimed == 0 then return refused end
return claimed
