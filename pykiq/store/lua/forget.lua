-- Forget a process: only when its lease is gone and nothing of it is in flight.
--
-- KEYS  1 lease, 2 hash of owners, 3… its in-flight lists
-- ARGV  1 identity
-- returns 1 forgotten (also when it was not known, as after a FLUSHALL), 0 not yet
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
end
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
