-- Settle finished jobs: take each out of its in-flight list and, only if it was still there, write what follows from
-- it. A job that is gone from in-flight was taken over by another process: nothing is written for it.
--
-- A write that Redis refuses (a key of another type, a score that is no number) would leave the job nowhere, because a
-- script is not rolled back: the job goes back in flight and the error is the answer.
--
-- KEYS  1 retry set, 2 schedule set, 3 dead set, 4 set of queue names, then pairs: in-flight list, queue list
-- ARGV  1 now (s), 2 dead set: drop entries older than this score, 3 dead set: size limit,
--       then per job: number of its pair (1..), operation, raw bytes and, but for `done`, queue name, score, entry
--       operations: done | retry | schedule | dead | back (score and entry are empty where they mean nothing)
-- returns one number per job: 1 settled, 0 it was not in flight any more
local now, oldest, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local settled, buried = {}, false
local i = 4
while i <= #ARGV do
  local pair, op, raw = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local inflight, queue = KEYS[3 + 2 * pair], KEYS[4 + 2 * pair]
  local found = redis.call('LREM', inflight, -1, raw)
  if found > 0 and op ~= 'done' then
    local written
    if op == 'retry' then
      written = redis.pcall('ZADD', KEYS[1], ARGV[i + 4], ARGV[i + 5])
    elseif op == 'schedule' then
      written = redis.pcall('ZADD', KEYS[2], ARGV[i + 4], ARGV[i + 5])
    elseif op == 'dead' then
      written = redis.pcall('ZADD', KEYS[3], now, ARGV[i + 5])
      buried = true
    elseif op == 'back' then
      redis.pcall('SADD', KEYS[4], ARGV[i + 3])
      written = redis.pcall('RPUSH', queue, raw)
    end
    if type(written) == 'table' and written.err then
      redis.call('RPUSH', inflight, raw)
      return written
    end
  end
  settled[#settled + 1] = found > 0 and 1 or 0
  i = i + (op == 'done' and 3 or 6)
end
if buried then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', oldest)
  -- Ruby's own trim removes up to and including rank -max, so max - 1 entries survive (WIRE.md §8c).
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -most)
end
return settled
