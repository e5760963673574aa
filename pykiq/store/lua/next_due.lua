-- When the next member of each of these sorted sets is due. The members stay in Redis: it may refuse to send them.
--
-- KEYS  the sorted sets
-- ARGV  none
-- returns for each its earliest score as text, empty where it has no members, nil for a key of another type
local scores = {}
for number, key in ipairs(KEYS) do
  local first = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  scores[number] = not first.err and (first[2] or '')
end
return scores
