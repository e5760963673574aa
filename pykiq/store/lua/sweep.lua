-- Take the lock of the sweeps.
--
-- PEXPIRE goes first: a server that is full refuses SET, but not what follows a script's first write. Then of all times
-- the jobs of dead processes must go back to where they are worked off.
--
-- KEYS  1 lease of the process that wants to sweep, 2 lock
-- ARGV  1 its identity, 2 its lease in ms, 3 the lock's life in ms
-- returns 1 taken, 0 another process has it
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) and 1 or 0
