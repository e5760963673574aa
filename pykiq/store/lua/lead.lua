-- Take a duty that one process does for the whole fleet, or keep it.
--
-- PEXPIRE goes first: a server that is full refuses SET, but not what follows a script's first write. Then of all times
-- due jobs, and those of dead processes, must go to where they are worked off.
--
-- KEYS  1 lease of the process that wants it, 2 key of the duty
-- ARGV  1 its identity, 2 its lease in ms, 3 how long (ms) the duty is its own, 4 how long (ms) none should last
-- returns 1 it is this process's, 0 another process has it
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local leader = redis.pcall('GET', KEYS[2])
if type(leader) == 'string' and leader ~= ARGV[1] then
  local left = redis.pcall('PTTL', KEYS[2]) -- which a user may not be allowed: then every process has it
  -- Where it lasts for longer than any should Redis' clock was put back, and who has it may have ended.
  if type(left) == 'number' and left > 0 and left <= tonumber(ARGV[4]) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
return 1
