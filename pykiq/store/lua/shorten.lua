-- Leases that were there when Redis' clock was put back: each would last longer by that, as Redis keeps the moment at
-- which a key expires. One that was renewed since is shorter than the step, and stays as it is.
--
-- KEYS  leases
-- ARGV  1 the step (ms), 2 which leases are longer than any that was renewed since (ms)
-- returns how many were shortened
local step, longest, shortened = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for _, lease in ipairs(KEYS) do
  local left = redis.pcall('PTTL', lease) -- which a user may not be allowed
  if type(left) == 'number' and left > longest then shortened = shortened + redis.call('PEXPIRE', lease, math.max(left - step, 1)) end
end
return shortened
