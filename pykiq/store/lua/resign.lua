-- Give up a duty that one process does for the whole fleet, if it is this one that has it.
--
-- KEYS  1 key of the duty
-- ARGV  1 identity
-- returns 1 given up, 0 another process has it, or none
return redis.pcall('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
