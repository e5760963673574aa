-- Renew the lease of a process, and list it, so that whoever takes over finds its jobs.
--
-- PEXPIRE goes first: a server that is full refuses SET and HSET, but not what follows a script's first write.
--
-- KEYS  1 lease, 2 hash of owners
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON
-- returns nothing
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
