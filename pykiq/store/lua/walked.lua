-- Note how far a walk through all keys has come, and list owners that it has found and that nobody knew.
--
-- PEXPIRE goes first, as in sweep.lua.
--
-- KEYS  1 lease of the process that walks, 2 how far, 3 hash of owners
-- ARGV  1 its lease in ms, 2 cursor, 3 life of that in s, then pairs: identity, its queues as JSON
-- returns the identities that were not listed
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
local new = {}
for i = 4, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1]) == 1 then new[#new + 1] = ARGV[i] end
end
return new
