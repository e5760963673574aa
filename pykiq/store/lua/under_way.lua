-- Whether the suspect that had its turn last waits in its queue yet, or is in flight somewhere. Its bytes stay in Redis.
-- It was put at the old end, and looked for there: to go through a million jobs for it, again and again, costs too much.
--
-- KEYS  1 hash: the suspect, then the lists where it may be: the queue first, for from there it goes in flight
-- ARGV  1 name of that queue
-- returns 1 it is, 0 it is not
local MOST = 10000 -- entries looked at
local suspect = redis.pcall('HMGET', KEYS[1], 'queue', 'raw')
if suspect.err or suspect[1] ~= ARGV[1] or not suspect[2] then return 0 end
for i = 2, #KEYS do
  local place = redis.pcall('LPOS', KEYS[i], suspect[2], 'RANK', -1, 'MAXLEN', MOST)
  if type(place) == 'number' then return 1 end
end
return 0
