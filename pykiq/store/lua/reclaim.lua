-- Take one job over from a dead process: back to the head of the queue it came from, or to the dead set when it has
-- been taken over too often (a job that kills its process). Nothing happens if the owner's lease has come back, and
-- the job stays in flight when its destination refuses it (a key of another type).
--
-- A job that has been taken over before is a suspect: it stays in flight unless it is its turn. Those that were in
-- flight beside a poison pill are all suspects; back in the queue together they would die with it.
--
-- Equal jobs that one process held share a counter: its death counts once, however many of them there are.
--
-- KEYS  1 lease of the owner, 2 its in-flight list, 3 queue list, 4 set of queue names, 5 dead set,
--       6 list of the job's takeovers, the latest first: "<when (s)> <from whom>", 7 hash: the suspect whose turn it is
-- ARGV  1 raw bytes (empty: it is found by 13 and 14, and goes to the dead set as it is), 
--       2 queue name, 3 now (s), 4 takeovers that make a job a poison pill, 5 if they lie within this (s),
--       6 dead set: drop entries older than this score, 7 dead set: size limit, 8 the dead entry, 9 suspects: go | stay,
--       or look: answer what would happen, and do nothing (the raw bytes and the dead entry may be empty),
--       10 for how long (s) at most that one keeps the others waiting, 11 identity of the owner, 12 its takeovers within
--       this (s) count as one, 13 size in bytes and 14 SHA-1 in hex of one whose bytes stay in Redis
-- returns 0 not there any more (or the owner lives, or refused), 1 back in its queue, 2 dead, 3 a suspect that stays
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now, most, window = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local taken, before, counted = redis.pcall('LRANGE', KEYS[6], 0, -1), 0, false
if taken.err then
  redis.call('DEL', KEYS[6]) -- a key of another type is none of ours
  taken = {}
end
for _, one in ipairs(taken) do
  local at, owner = string.match(one, '^(%S+) ?(.*)$')
  at = tonumber(at) or 0
  if owner == ARGV[11] and now - at <= tonumber(ARGV[12]) then
    counted = true
  elseif now - at <= window then
    before = before + 1
  end
end
local poison, written = before + 1 >= most, nil
if ARGV[9] ~= 'go' and before > 0 and not poison then return 3 end
if ARGV[9] == 'look' then return poison and 2 or 1 end
local raw, dead_entry = ARGV[1], ARGV[8]
if raw == '' then
  for place = 0, redis.call('LLEN', KEYS[2]) - 1 do
    local entry = redis.call('LINDEX', KEYS[2], place)
    if #entry == tonumber(ARGV[13]) and redis.sha1hex(entry) == ARGV[14] then
      raw, dead_entry = entry, entry
      break
    end
  end
end
if redis.call('LREM', KEYS[2], 1, raw) == 0 then return 0 end
if not counted then
  redis.call('LPUSH', KEYS[6], ARGV[3] .. ' ' .. ARGV[11])
  redis.call('LTRIM', KEYS[6], 0, most - 1)
  redis.call('EXPIRE', KEYS[6], window)
end
if poison then
  written = redis.pcall('ZADD', KEYS[5], ARGV[3], dead_entry)
else
  redis.pcall('SADD', KEYS[4], ARGV[2])
  written = redis.pcall('RPUSH', KEYS[3], raw)
end
if type(written) == 'table' and written.err then
  redis.call('LPUSH', KEYS[2], raw)
  if not counted then redis.call('LPOP', KEYS[6]) end
  return 0
end
if ARGV[9] == 'go' and not poison then -- here, and not by its finder: a server that is full would refuse it alone
  redis.pcall('HSET', KEYS[7], 'queue', ARGV[2], 'raw', raw)
  redis.pcall('EXPIRE', KEYS[7], ARGV[10])
end
if not poison then return 1 end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', ARGV[6])
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -tonumber(ARGV[7]))
redis.call('DEL', KEYS[6])
return 2
