-- Take jobs over from a dead process: back to the head of the queue they came from, or to the dead set when one has been
-- taken over too often (a job that kills its process). Nothing happens if the owner's lease has come back, and the jobs
-- stay in flight when their destination refuses them (a key of another type).
--
-- A job that has been taken over before is a suspect: it stays in flight unless it is its turn. Those that were in
-- flight beside a poison pill are all suspects; back in the queue together they would die with it.
--
-- Equal jobs that one process held share a counter: its death counts once, however many of them there are.
--
-- KEYS  1 lease of the owner, 2 its in-flight list, 3 queue list, 4 set of queue names, 5 dead set,
--       6 hash: the suspect whose turn it is, then for each job the list of its takeovers, the latest first:
--       "<when (s)> <from whom>"
-- ARGV  1 what to do. look: answer what would happen; stay: move the jobs, and leave suspects and poison pills where
--       they are; go: move this one, a suspect too; bury: move this one, a poison pill too,
--       2 queue name, 3 now (s), 4 takeovers that make a job a poison pill, 5 if they lie within this (s),
--       6 dead set: drop entries older than this score, 7 dead set: size limit, 8 the dead entry, if there is one,
--       9 for how long (s) at most that a suspect keeps the others waiting, 10 identity of the owner,
--       11 its takeovers within this (s) count as one,
--       then for each job its bytes (in a look they may be empty), newest first. Bytes that stay in Redis are empty,
--       and what finds them follows: size and SHA-1 in hex; such a one goes to the dead set as it is. For others that
--       is empty
-- returns for each job 0 not there any more (or the owner lives, or refused), 1 back in its queue, 2 a poison pill (which
-- only `bury` has moved), 3 a suspect that stays
local FIRST_KEY, FIRST_ARG = 6, 11
local todo, queue, now, most, window = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local owner, together = ARGV[10], tonumber(ARGV[11])
local answers = {}
for job = 1, #KEYS - FIRST_KEY do answers[job] = 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then return answers end
-- Most jobs have never been taken over before: one command tells that of all of them.
local any = redis.call('EXISTS', unpack(KEYS, FIRST_KEY + 1)) > 0

local function earlier(counter) -- takeovers within the window, and whether this death is among those written
  local taken, before, counted = redis.pcall('LRANGE', counter, 0, -1), 0, false
  if taken.err then
    redis.call('DEL', counter) -- a key of another type is none of ours
    return 0, false
  end
  for _, one in ipairs(taken) do
    local at, from = string.match(one, '^(%S+) ?(.*)$')
    at = tonumber(at) or 0
    if from == owner and now - at <= together then
      counted = true
    elseif now - at <= window then
      before = before + 1
    end
  end
  return before, counted
end

local function found(size, digest)
  for place = 0, redis.call('LLEN', KEYS[2]) - 1 do
    local entry = redis.call('LINDEX', KEYS[2], place)
    if #entry == tonumber(size) and redis.sha1hex(entry) == digest then return entry end
  end
end

local raws, jobs, uncounted, fresh, buries = {}, {}, {}, {}, false
for job = 1, #answers do
  local counter, before, counted = KEYS[FIRST_KEY + job], 0, false
  if any then before, counted = earlier(counter) end
  local poison = before + 1 >= most
  if before > 0 and not poison and todo ~= 'go' then
    answers[job] = 3
  elseif poison and todo ~= 'bury' then
    answers[job] = 2
  elseif todo == 'look' then
    answers[job] = 1
  else
    local raw, sought = ARGV[FIRST_ARG + 2 * job - 1], ARGV[FIRST_ARG + 2 * job]
    if sought ~= '' then raw = found(string.match(sought, '(%d+) (%x+)')) end
    if raw and redis.call('LREM', KEYS[2], 1, raw) > 0 then
      buries = poison
      raws[#raws + 1], jobs[#jobs + 1] = raw, job
      if not counted and not fresh[counter] then uncounted[#uncounted + 1] = counter end
      fresh[counter] = true
    end
  end
end
if #raws == 0 then return answers end

local written
if buries then
  written = redis.pcall('ZADD', KEYS[5], ARGV[3], ARGV[8] ~= '' and ARGV[8] or raws[1])
else
  redis.pcall('SADD', KEYS[4], queue)
  written = redis.pcall('RPUSH', KEYS[3], unpack(raws))
end
if type(written) == 'table' and written.err then
  for place = #raws, 1, -1 do redis.call('LPUSH', KEYS[2], raws[place]) end
  return answers
end
for _, job in ipairs(jobs) do answers[job] = buries and 2 or 1 end
for _, counter in ipairs(uncounted) do
  if redis.call('LPUSH', counter, ARGV[3] .. ' ' .. owner) > most then redis.call('LTRIM', counter, 0, most - 1) end
  redis.call('EXPIRE', counter, window)
end
if todo == 'go' then -- here, and not by its finder: a server that is full would refuse it alone
  redis.pcall('HSET', KEYS[6], 'queue', queue, 'raw', raws[1])
  redis.pcall('EXPIRE', KEYS[6], ARGV[9])
elseif buries then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', ARGV[6])
  redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -tonumber(ARGV[7]))
  redis.call('DEL', KEYS[FIRST_KEY + 1])
end
return answers
