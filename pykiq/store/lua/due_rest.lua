-- Let a due member rest that Redis will not send, or whose new bytes it will not take: found by its size and digest.
--
-- KEYS  1 sorted set
-- ARGV  1 now (s), 2 size in bytes, 3 SHA-1 in hex, 4 score until which it rests
-- returns 1 it rests, 0 it was not found among the first due
local FIRST, STEP = 1000, 50
for from = 0, FIRST - 1, STEP do
  local some = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', from, STEP)
  for _, member in ipairs(some) do
    if #member == tonumber(ARGV[2]) and redis.sha1hex(member) == ARGV[3] then
      redis.call('ZADD', KEYS[1], ARGV[4], member)
      return 1
    end
  end
  if #some < STEP then break end
end
return 0
