-- Claim from a queue shared with other languages: only jobs whose class has a handler here; the others stay where
-- they are. The class of an ActiveJob is the one inside of Rails' wrapper. Bytes that cannot be read are claimed too,
-- so that they end in the dead set instead of blocking the view.
--
-- A look begins behind an entry that an earlier one has seen, not at a number: others take from the old end meanwhile.
-- When that entry is gone, everything older is gone too or has come back there, and the look begins at the old end.
--
-- KEYS  1 lease, 2 hash of owners, 3 queue list, 4 in-flight list
-- ARGV  1 identity, 2 lease in ms, 3 this process's queues as JSON, 4 how many jobs at most,
--       5 the entry to begin behind, '' for the old end, 6 from which end to search it: -1 old, 1 new,
--       7 entries to look at, 8… names of the classes
-- returns: number of entries looked at, 1 if that was up to the newest else 0, the newest one left in place or '',
--          then the raw bytes of each job claimed
-- PEXPIRE goes first: a server that is full refuses SET and LMOVE, but not what follows a script's first write. Its
-- queues must be worked off then of all times.
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local wrapper = {
  ['ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper'] = true,
  ['Sidekiq::ActiveJob::Wrapper'] = true,
}
local function bare(name)
  return string.sub(name, 1, 2) == '::' and string.sub(name, 3) or name
end
local function wrapped(job)
  local data = type(job.args) == 'table' and #job.args == 1 and job.args[1]
  local name = type(data) == 'table' and data.job_class
  if type(name) ~= 'string' or bare(name) == '' then name = job.wrapped end
  return type(name) == 'string' and bare(name) or ''
end
local known = {}
for i = 8, #ARGV do known[ARGV[i]] = true end
local most, side, window = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local behind = ARGV[5] ~= '' and redis.call('LPOS', KEYS[3], ARGV[5], 'RANK', side)
local first, last = -window, -1
if behind then first, last = math.max(behind - window, 0), behind - 1 end
local seen = (last == -1 and behind) and {} or redis.call('LRANGE', KEYS[3], first, last)
local answer, looked = { 0, 0, '' }, 0
for i = #seen, 1, -1 do
  if #answer - 3 >= most then break end
  looked = looked + 1
  local ok, job = pcall(cjson.decode, seen[i])
  local mine = not ok or type(job) ~= 'table' or type(job.class) ~= 'string'
  if not mine then
    local name = bare(job.class)
    mine = known[name] or (wrapper[name] and known[wrapped(job)])
  end
  if mine and redis.call('LREM', KEYS[3], side, seen[i]) > 0 then
    redis.call('LPUSH', KEYS[4], seen[i])
    answer[#answer + 1] = seen[i]
  else
    answer[3] = seen[i]
  end
end
answer[1] = looked
if looked == #seen and #seen < window or behind and first == 0 and looked == #seen then answer[2] = 1 end
return answer
