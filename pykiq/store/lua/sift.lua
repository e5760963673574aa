-- One step of going through a queue from its newest job on: settle what the last step has taken, take some more.
--
-- What was looked at and stays waits in the side list, in the order of the queue: the whole queue is the side list and,
-- behind it, what is left. Workers take from the old end meanwhile and notice nothing. A job is in one of the two lists
-- at every instant; nobody else touches the side list while the lease is there.
--
-- KEYS  1 lease, 2 hash of owners, 3 queue list, 4 side list: the in-flight list of who does this
-- ARGV  1 identity, 2 lease in ms, 3 its queue as JSON, 4 what becomes of each job that the last step took, the newest
--       first: 1 stays, 0 is removed; 5 start | none | mark: the first step, or what the newest job was after the last
--       one: there was none, or 6 its bytes; 7 how many jobs to take; 8 how many of the oldest to leave in the queue
-- returns 0 when the lease has run out: the jobs may be somebody else's by now; else how many jobs are left in the queue,
--         the newest of them, or false, and the jobs taken, the newest first
--
-- PEXPIRE goes first: a server that is full refuses SET and RPUSH, but not what follows a script's first write. Jobs
-- must be deleted then of all times.
local PUSHED = 5000 -- jobs that may have been pushed since the last step and keep their place as the newest
local AT_ONCE = 1000 -- arguments of one command
local queue, side, verdict = KEYS[3], KEYS[4], ARGV[4]
local function push(command, entries, first, last, step)
  local some = {}
  for i = first, last, step do
    some[#some + 1] = entries[i]
    if #some == AT_ONCE or i == last then
      redis.call(command, side, unpack(some))
      some = {}
    end
  end
end
if ARGV[5] ~= 'start' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
if ARGV[5] == 'start' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
if string.find(verdict, '0', 1, true) then
  local taken = redis.call('LRANGE', side, -#verdict, -1)
  local kept = {}
  for i, entry in ipairs(taken) do
    if string.sub(verdict, i, i) == '1' then kept[#kept + 1] = entry end
  end
  redis.call('LTRIM', side, 0, -#verdict - 1)
  push('RPUSH', kept, 1, #kept, 1)
end
-- What was pushed since the last step goes before the side list's newest.
local pushed = 0
if ARGV[5] == 'none' then
  pushed = math.min(redis.call('LLEN', queue), PUSHED)
elseif ARGV[5] == 'mark' and redis.call('LINDEX', queue, 0) ~= ARGV[6] then
  pushed = redis.call('LPOS', queue, ARGV[6], 'MAXLEN', PUSHED) or 0
end
if pushed > 0 then
  local newer = redis.call('LRANGE', queue, 0, pushed - 1)
  push('LPUSH', newer, #newer, 1, -1)
  redis.call('LTRIM', queue, pushed, -1)
end
local most, taken = math.min(tonumber(ARGV[7]), redis.call('LLEN', queue) - tonumber(ARGV[8])), {}
if most > 0 then
  taken = redis.call('LRANGE', queue, 0, most - 1)
  push('RPUSH', taken, 1, #taken, 1)
  redis.call('LTRIM', queue, #taken, -1)
end
return { redis.call('LLEN', queue), redis.call('LINDEX', queue, 0), taken }
