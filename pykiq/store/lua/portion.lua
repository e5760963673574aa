-- A portion of a list, from one place on: of what is large only its ends and its digest, for Redis may refuse to send it
-- (client-output-buffer-limit) and hang up.
--
-- KEYS  1 list, 2 a lease, or nothing
-- ARGV  1 place to begin at (0 is the newest), 2 bytes of a portion, and of one entry that is sent whole,
--       3 that lease's life in ms: to extend it is refused by a master that was demoted, which must not be asked
-- returns the entries: the bytes of one, or of a large one a list: size, SHA-1 in hex, first and last bytes
local ENDS = 2000 -- bytes
if KEYS[2] then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
local place, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local entries = {}
while room > 0 do
  local entry = redis.call('LINDEX', KEYS[1], place + #entries)
  if not entry then break end
  if #entry > tonumber(ARGV[2]) then
    entries[#entries + 1] = { #entry, redis.sha1hex(entry), string.sub(entry, 1, ENDS), string.sub(entry, -ENDS) }
    room = room - 2 * ENDS
  elseif #entry > room and #entries > 0 then
    break
  else
    entries[#entries + 1] = entry
    room = room - #entry - 100
  end
end
return entries
