-- One step of the way back: what a side list (see sift.lua) holds becomes the newer part of its queue again, in order.
-- The oldest jobs have stayed in the queue; those of them that are meant are removed here.
--
-- KEYS  1 lease, 2 queue list, 3 side list, 4 set of queue names
-- ARGV  1 identity, 2 lease in ms, 3 queue name, 4 none | mark | lost: what the newest job of the queue was after the
--       last step: there was none, 5 its bytes, or nobody knows; 6 how many jobs to move, 7… jobs to remove
-- returns how many jobs are left in the side list, the newest job of the queue, or false, and for each of those to
--         remove whether it was there
local PUSHED = 5000 -- jobs that may have been pushed since the last step and keep their place as the newest
local AT_ONCE = 1000 -- arguments of one command
local queue, side, most = KEYS[2], KEYS[3], tonumber(ARGV[6])
-- From now on a step of sift.lua finds another lease than its own: it goes by the places of jobs, which change here.
redis.call('PEXPIRE', KEYS[1], ARGV[2]) -- goes first, as there
redis.call('SET', KEYS[1], ARGV[1] .. ' puts back', 'PX', ARGV[2])
local removed = {}
for i = 7, #ARGV do removed[#removed + 1] = redis.call('LREM', queue, -1, ARGV[i]) end
local function push(command, key, entries, first, last, step)
  local some = {}
  for i = first, last, step do
    some[#some + 1] = entries[i]
    if #some == AT_ONCE or i == last then
      redis.call(command, key, unpack(some))
      some = {}
    end
  end
end
local aside, size, pushed = redis.call('LLEN', side), redis.call('LLEN', queue), 0
if aside > 0 then
  if ARGV[4] == 'none' then
    pushed = size <= PUSHED and size or 0
  elseif ARGV[4] == 'mark' and redis.call('LINDEX', queue, 0) ~= ARGV[5] then
    pushed = redis.call('LPOS', queue, ARGV[5], 'MAXLEN', PUSHED) or 0
  end
  if pushed > 0 then
    local newer = redis.call('LRANGE', queue, 0, pushed - 1)
    push('LPUSH', side, newer, #newer, 1, -1)
    redis.call('LTRIM', queue, pushed, -1)
    aside, size = aside + pushed, size - pushed
  end
  if aside > most and size <= most then -- less work: the few oldest behind it, and it is the queue
    push('RPUSH', side, redis.call('LRANGE', queue, 0, -1), 1, size, 1)
    redis.call('RENAME', side, queue)
    aside = 0
  else
    local back = redis.call('LRANGE', side, -most, -1)
    push('LPUSH', queue, back, #back, 1, -1)
    redis.call('LTRIM', side, 0, -#back - 1)
    aside = aside - #back
  end
  redis.pcall('SADD', KEYS[4], ARGV[3])
end
return { aside, redis.call('LINDEX', queue, 0), removed }
