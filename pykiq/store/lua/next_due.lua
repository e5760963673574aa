-- When the next member of any of these sorted sets is due. The members stay in Redis: it may refuse to send them.
--
-- KEYS  the sorted sets; a key of another type has none
-- ARGV  none
-- returns the earliest score of each that has a member, as text
local scores = {}
for _, key in ipairs(KEYS) do
  local first = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not first.err and first[2] then scores[#scores + 1] = first[2] end
end
return scores
