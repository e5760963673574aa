-- Claim from a queue shared with other languages: only jobs whose class has a handler here; the others stay where
-- they are. Bytes that cannot be read are claimed too, so that they end in the dead set instead of blocking the view.
--
-- KEYS  1 lease, 2 hash of owners, 3 queue list, 4 in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most,
--       5 entries to skip at the old end, 6 entries to look at, 7… names of the classes
-- returns: number of entries looked at, then the raw bytes of each job claimed
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local known = {}
for i = 7, #ARGV do known[ARGV[i]] = true end
local most, skip, window = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local seen = redis.call('LRANGE', KEYS[3], -(skip + window), -(skip + 1))
local answer = { #seen }
for i = #seen, 1, -1 do
  if #answer > most then break end
  local ok, job = pcall(cjson.decode, seen[i])
  local mine = not ok or type(job) ~= 'table' or type(job.class) ~= 'string'
  if not mine then
    local name = job.class
    if string.sub(name, 1, 2) == '::' then name = string.sub(name, 3) end
    mine = known[name]
  end
  if mine and redis.call('LREM', KEYS[3], -1, seen[i]) > 0 then
    redis.call('LPUSH', KEYS[4], seen[i])
    answer[#answer + 1] = seen[i]
  end
end
return answer
