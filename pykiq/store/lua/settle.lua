-- Settle finished jobs: take each out of its in-flight list and, only if it was still there, write what follows from
-- it. A job that is gone from in-flight was taken over by another process: nothing is written for it.
--
-- A write that Redis refuses (a key of another type, a score that is no number) would leave the job nowhere, because a
-- script is not rolled back: the job goes back in flight and the error is the answer.
--
-- KEYS  1 retry set, 2 schedule set, 3 dead set, 4 set of queue names, then pairs: in-flight list, queue list
-- ARGV  1 now (s), 2 dead set: drop entries older than this score, 3 dead set: size limit,
--       then, for the jobs of one pair that are done: number of the pair (1..), `done`, how many, raw bytes of each
--       and per job with something to write: number of its pair, operation, score, entry, raw bytes, queue name
--       operations: retry | schedule | dead | back (score and entry are empty where they mean nothing)
-- returns one number per job: 1 settled, 0 it was not in flight any more
local now, oldest, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local settled, buried = {}, false
local i = 4
while i <= #ARGV do
  local pair, op = tonumber(ARGV[i]), ARGV[i + 1]
  local inflight, queue = KEYS[3 + 2 * pair], KEYS[4 + 2 * pair]
  if op == 'done' then
    local last = i + 2 + ARGV[i + 2]
    for j = i + 3, last do settled[#settled + 1] = redis.call('LREM', inflight, -1, ARGV[j]) end
    i = last + 1
  else
    local score, entry, raw = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local found = redis.call('LREM', inflight, -1, raw)
    settled[#settled + 1] = found
    if found > 0 then
      local written
      if op == 'retry' then
        written = redis.pcall('ZADD', KEYS[1], score, entry)
      elseif op == 'schedule' then
        written = redis.pcall('ZADD', KEYS[2], score, entry)
      elseif op == 'dead' then
        written = redis.pcall('ZADD', KEYS[3], now, entry)
        buried = true
      elseif op == 'back' then
        redis.pcall('SADD', KEYS[4], ARGV[i + 5])
        written = redis.pcall('RPUSH', queue, raw)
      end
      if type(written) == 'table' and written.err then
        redis.call('RPUSH', inflight, raw)
        return written
      end
    end
    i = i + 6
  end
end
if buried then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', oldest)
  -- Ruby's own trim removes up to and including rank -max, so max - 1 entries survive (WIRE.md §8c).
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -most)
end
return settled
