-- Settle one job whose bytes Redis will not take from us, although it holds them: it is found by its size and digest,
-- and what is written is the job as it is. Too large a bulk, a query buffer that is too small.
--
-- KEYS  1 in-flight list, 2 queue list, 3 set of queue names, 4 dead set, 5 schedule set
-- ARGV  1 size in bytes, 2 SHA-1 in hex, 3 operation: done | back | dead | schedule, 4 queue name, 5 now (s),
--       6 dead set: drop entries older than this score, 7 dead set: size limit, 8 score in schedule
-- returns 1 settled, 0 it was not in flight any more
local size, found = tonumber(ARGV[1]), nil
for place = 0, redis.call('LLEN', KEYS[1]) - 1 do
  local entry = redis.call('LINDEX', KEYS[1], place)
  if entry and #entry == size and redis.sha1hex(entry) == ARGV[2] then
    found = entry
    break
  end
end
if not found or redis.call('LREM', KEYS[1], -1, found) == 0 then return 0 end
local op, written = ARGV[3], nil
if op == 'back' then
  redis.pcall('SADD', KEYS[3], ARGV[4])
  written = redis.pcall('RPUSH', KEYS[2], found)
elseif op == 'dead' then
  written = redis.pcall('ZADD', KEYS[4], ARGV[5], found)
elseif op == 'schedule' then
  written = redis.pcall('ZADD', KEYS[5], ARGV[8], found)
end
if type(written) == 'table' and written.err then
  redis.call('RPUSH', KEYS[1], found)
  return written
end
if op == 'dead' then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[6])
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -tonumber(ARGV[7]))
end
return 1
