-- The members of a sorted set that are due, the earliest first, in a portion: of what is large only its ends and its
-- digest, as portion.lua has it.
--
-- KEYS  1 sorted set
-- ARGV  1 now (s), 2 how many at most, 3 bytes of a portion, and of one member that is sent whole
-- returns the members: the bytes of one, or of a large one a list: size, SHA-1 in hex, first and last bytes
local ENDS = 2000 -- bytes
local most, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local members, room, step = {}, limit, 10
while #members < most do
  local some = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', #members, math.min(step, most - #members))
  for _, member in ipairs(some) do
    if #member > limit then
      members[#members + 1] = { #member, redis.sha1hex(member), string.sub(member, 1, ENDS), string.sub(member, -ENDS) }
      room = room - 2 * ENDS
    elseif #member > room and #members > 0 then
      return members
    else
      members[#members + 1] = member
      room = room - #member - 100
    end
    if room <= 0 then return members end
  end
  if #some < step then break end
end
return members
