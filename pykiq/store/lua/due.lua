-- Move due jobs from a sorted set: each leaves the set and arrives in the same step, or stays if another process was
-- faster. One whose destination refuses it (a key of another type) rests in the set instead of being lost.
--
-- KEYS  1 sorted set (retry or schedule), 2 set of queue names, 3 dead set, 4 schedule, then queue lists
-- ARGV  1 now (s), 2 dead set: drop entries older than this score, 3 dead set: size limit, 4 score of one at rest
--       (empty: the one it had),
--       then per job: operation, member, number of its queue list (1..), queue name, score, new bytes
--       operations: push | later (back into the same set, at score) | schedule (at score) | dead | drop
-- returns one number per job: 1 moved, 0 it was gone, -1 refused and at rest
local moved, buried = {}, false
for i = 5, #ARGV, 6 do
  local op, member = ARGV[i], ARGV[i + 1]
  local rest = ARGV[4] ~= '' and ARGV[4] or redis.call('ZSCORE', KEYS[1], member)
  local found = redis.call('ZREM', KEYS[1], member)
  if found > 0 then
    local written
    if op == 'push' then
      redis.pcall('SADD', KEYS[2], ARGV[i + 3])
      written = redis.pcall('LPUSH', KEYS[4 + tonumber(ARGV[i + 2])], ARGV[i + 5])
    elseif op == 'later' then
      redis.call('ZADD', KEYS[1], ARGV[i + 4], ARGV[i + 5])
    elseif op == 'schedule' then
      written = redis.pcall('ZADD', KEYS[4], ARGV[i + 4], ARGV[i + 5])
    elseif op == 'dead' then
      written = redis.pcall('ZADD', KEYS[3], ARGV[1], ARGV[i + 5])
    end
    if type(written) == 'table' and written.err then
      redis.call('ZADD', KEYS[1], rest, member)
      found = -1
    elseif op == 'dead' then
      buried = true
    end
  end
  moved[#moved + 1] = found
end
if buried then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[2])
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[3]))
end
return moved
