-- One page of a sorted set, by score and member: the entries after the last one seen, whatever was added, taken or
-- moved since. Ranks would shift under a walk; the order of scores and, among equal ones, of bytes does not.
--
-- KEYS  1 sorted set
-- ARGV  1 up | down (from the lowest score or from the highest), 2 how many,
--       3 score and 4 member of the last entry seen (none at first)
-- returns member, score, member, score … in ascending order
local key, up, count = KEYS[1], ARGV[1] == 'up', tonumber(ARGV[2])

-- As Redis orders members: byte by byte. Lua's own comparison goes by the server's locale.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local rank = up and 0 or redis.call('ZCARD', key)
if ARGV[3] then
  rank = redis.call('ZCOUNT', key, '-inf', '(' .. ARGV[3])
  local high = redis.call('ZCOUNT', key, '-inf', ARGV[3])
  while rank < high do
    local middle = math.floor((rank + high) / 2)
    local member = redis.call('ZRANGE', key, middle, middle)[1]
    if precedes(member, ARGV[4]) or (up and member == ARGV[4]) then rank = middle + 1 else high = middle end
  end
end
if up then return redis.call('ZRANGE', key, rank, rank + count - 1, 'WITHSCORES') end
if rank == 0 then return {} end
return redis.call('ZRANGE', key, math.max(rank - count, 0), rank - 1, 'WITHSCORES')
