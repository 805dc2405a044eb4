-- The two-sided lane index. One call runs a batch of offers in order and returns the matches it made, flat:
-- poll, miner, job, poll, miner, job, ... Nothing in it looks at more than a bounded number of entries, whatever waits.
--
-- ARGV[1] is the prefix of all keys; then, one after the other:
--   Q job client lane priority offer avoid      a job may run (avoid: miners, comma-separated, or empty)
--   W job client lane offer                     a job left the queue
--   O poll miner slots rank offer epoch lanes   a poll is open (lanes: comma-separated)
--   C poll                                      a poll ended
--
-- Keys, each after the prefix:
--   lane:<lane>    ZSET of waiting jobs, member job/client, score level * LEVEL + start tag
--   flows:<lane>   ZSET level/client -> the tag after the last job of that client at that level
--   clock:<lane>   HASH: v<level> the lane's virtual time at that level, n the jobs taken
--   idle:<lane>    ZSET of polls that wait, score rank
--   poll:<poll>    HASH: miner, slots, rank, epoch, offer, lanes while it waits; got what it was given
--   match:<job>    offer/poll/miner of the match, or offer alone: the job was withdrawn
--   avoid          HASH job -> miners that lost it
--   served, time   ZSET client -> tag and the virtual time of service over all lanes
local prefix = ARGV[1]
local call = redis.call

-- Priority 9 is level 0. Levels are strict, with one exception below. A tag counts jobs since the lane was last empty:
-- it stays below 2^32, and a score keeps three decimals of it.
local LEVEL = 2 ^ 32
local LEVELS = 10
-- Of so many jobs taken from a lane one goes to a level in turn, whatever waits above it: nothing starves, and the
-- levels above lose a sixteenth of the lane at most.
local SHARED_TURN = 16
-- Each job taken moves the clock at least so far: clients that come new for ever stand where the clock is, and those
-- that have waited since before must get in front of them.
local CREEP = 0.001
-- Entries looked at for one that suits, beyond which the job (or poll) waits for the next occasion.
local LOOK = 10
local STALE_LOOK = 100
-- Seconds. A poll lives 25 at most; a queue entry whose worker died is taken up again within 20.
local POLL_TTL = 60
local MATCH_TTL = 60
-- One more job in hand, in the terms of a poll's rank: the batch spreads over equals instead of filling the first.
local LOAD_STEP = 0.001

local matches = {}
local touched = {}
local epoch = tonumber(call('GET', prefix .. 'epoch') or '0')

local function key(kind, id) return prefix .. kind .. ':' .. id end

local function tag_text(tag) return string.format('%.3f', tag) end

local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,]+') do parts[#parts + 1] = part end
  return parts
end

local function match(poll, miner, job, offer)
  matches[#matches + 1] = poll
  matches[#matches + 1] = miner
  matches[#matches + 1] = job
  call('SET', key('match', job), offer .. '/' .. poll .. '/' .. miner, 'EX', MATCH_TTL)
end

-- Takes a poll out of all its lanes; what it was given stays for a redelivered offer.
local function leave(poll)
  for _, lane in ipairs(split(call('HGET', key('poll', poll), 'lanes'))) do
    call('ZREM', key('idle', lane), poll)
  end
  call('HDEL', key('poll', poll), 'slots', 'lanes')
end

local function give(poll, job)
  local got = call('HGET', key('poll', poll), 'got')
  call('HSET', key('poll', poll), 'got', got and got ~= '' and (got .. ',' .. job) or job)
end

-- The best idle poll of a lane whose miner did not lose the job, and its miner.
local function best_poll(lane, avoid)
  local idle = key('idle', lane)
  local skipped = 0
  for _ = 1, STALE_LOOK do
    local poll = call('ZRANGE', idle, skipped, skipped)[1]
    if not poll then return nil end
    local found = call('HMGET', key('poll', poll), 'miner', 'slots', 'epoch')
    if not found[2] or tonumber(found[3]) < epoch then
      call('ZREM', idle, poll)
    elseif avoid ~= '' and string.find(avoid, found[1], 1, true) then
      skipped = skipped + 1
      if skipped >= LOOK then return nil end
    else
      return poll, found[1], tonumber(found[2])
    end
  end
end

local function forget_if_empty(lane)
  if call('EXISTS', key('lane', lane)) == 0 then
    call('DEL', key('flows', lane), key('clock', lane))
  end
end

-- Start-time fair queueing: a job starts when its client's one before it finishes, or now when there is none; each job
-- counts one. So a client with ten thousand waiting is, for another's first job, one job ahead.
local function park(job, client, lane, priority)
  local level = 9 - priority
  local base = level * LEVEL
  local flow = level .. '/' .. client
  local now = tonumber(call('HGET', key('clock', lane), 'v' .. level) or '0')
  local last = call('ZSCORE', key('flows', lane), flow)
  local start = now
  if last and tonumber(last) - base > now then start = tonumber(last) - base end
  call('ZADD', key('flows', lane), tag_text(base + start + 1), flow)
  call('ZADD', key('lane', lane), tag_text(base + start), job .. '/' .. client)
end

local function queued(job, client, lane, priority, offer, avoid)
  local earlier = call('GET', key('match', job))
  if earlier then
    local at, poll, miner = string.match(earlier, '^(%d+)/?([^/]*)/?(.*)$')
    if at == offer and poll ~= '' then
      matches[#matches + 1] = poll
      matches[#matches + 1] = miner
      matches[#matches + 1] = job
      return
    end
    if tonumber(at) >= tonumber(offer) then return end
    call('DEL', key('match', job))
  end
  local member = job .. '/' .. client
  local is_parked = call('ZSCORE', key('lane', lane), member)
  local poll, miner, slots = best_poll(lane, avoid)
  if poll then
    if is_parked then
      call('ZREM', key('lane', lane), member)
      forget_if_empty(lane)
    end
    call('HDEL', prefix .. 'avoid', job)
    match(poll, miner, job, offer)
    give(poll, job)
    if slots <= 1 then
      leave(poll)
      touched[poll] = nil
    else
      touched[poll] = true
      call('HSET', key('poll', poll), 'slots', slots - 1)
      call('ZINCRBY', key('idle', lane), LOAD_STEP, poll)
    end
    return
  end
  if avoid == '' then call('HDEL', prefix .. 'avoid', job) else call('HSET', prefix .. 'avoid', job, avoid) end
  if not is_parked then park(job, client, lane, tonumber(priority)) end
end

local function withdrawn(job, client, lane, offer)
  call('SET', key('match', job), offer, 'EX', MATCH_TTL)
  call('HDEL', prefix .. 'avoid', job)
  if call('ZREM', key('lane', lane), job .. '/' .. client) == 1 then forget_if_empty(lane) end
end

-- The first of a range that this miner did not lose.
local function first_for(miner, range, has_avoided)
  for at = 1, #range, 2 do
    local job, client = string.match(range[at], '^(.-)/(.*)$')
    local avoided = has_avoided and call('HGET', prefix .. 'avoid', job)
    if not avoided or not string.find(avoided, miner, 1, true) then
      local score = tonumber(range[at + 1])
      local level = math.floor(score / LEVEL)
      return { member = range[at], job = job, client = client, level = level, start = score - level * LEVEL, rank = level }
    end
  end
end

-- The job of this lane whose turn it is.
local function head(lane, miner, has_avoided)
  local waiting = key('lane', lane)
  local look = has_avoided and LOOK or 1
  local top = call('ZRANGE', waiting, 0, look - 1, 'WITHSCORES')
  if #top == 0 then return nil end
  local found = first_for(miner, top, has_avoided)
  local taken = tonumber(call('HGET', key('clock', lane), 'n') or '0')
  if taken % SHARED_TURN == SHARED_TURN - 1 then
    local from = math.floor(taken / SHARED_TURN) % LEVELS
    local range = call('ZRANGEBYSCORE', waiting, from * LEVEL, '+inf', 'WITHSCORES', 'LIMIT', 0, look)
    local other = first_for(miner, range, has_avoided)
    if other then
      -- It stands where the lane's first would, so that another lane does not take its turn away.
      other.rank = found and found.rank or other.rank
      found = other
    end
  end
  if found then found.lane = lane end
  return found
end

local served, time = prefix .. 'served', prefix .. 'time'

-- Among lanes: priority, then the client that was served least, then age. A client gains nothing by many lanes.
local function service_tag(entry, now)
  if not entry.tag then
    local last = call('ZSCORE', served, entry.client)
    entry.tag = math.max(last and tonumber(last) or 0, now)
  end
  return entry.tag
end

local function is_before(a, b, now)
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.client ~= b.client then
    local tag_a, tag_b = service_tag(a, now), service_tag(b, now)
    if tag_a ~= tag_b then return tag_a < tag_b end
  end
  return a.job < b.job
end

local function take(entry, now)
  local lane, level = entry.lane, entry.level
  call('ZREM', key('lane', lane), entry.member)
  call('HINCRBY', key('clock', lane), 'n', 1)
  local clock = tonumber(call('HGET', key('clock', lane), 'v' .. level) or '0')
  clock = math.max(clock + CREEP, entry.start)
  call('HSET', key('clock', lane), 'v' .. level, tag_text(clock))
  -- Clients whose tag the clock has passed stand where a new one would.
  call('ZREMRANGEBYSCORE', key('flows', lane), level * LEVEL, tag_text(level * LEVEL + clock))
  forget_if_empty(lane)
  call('HDEL', prefix .. 'avoid', entry.job)
  local tag = service_tag(entry, now)
  call('ZADD', served, tag_text(tag + 1), entry.client)
  now = math.max(now + CREEP, tag)
  call('SET', time, tag_text(now))
  call('ZREMRANGEBYSCORE', served, '-inf', tag_text(now))
  return now
end

local function opened(poll, miner, slots, rank, offer, poll_epoch, lane_list)
  if tonumber(poll_epoch) > epoch then
    epoch = tonumber(poll_epoch)
    call('SET', prefix .. 'epoch', poll_epoch)
  elseif tonumber(poll_epoch) < epoch then
    return
  end
  local record = key('poll', poll)
  local known = call('HMGET', record, 'offer', 'got', 'lanes')
  if known[1] then
    if known[1] == offer then
      for _, job in ipairs(split(known[2])) do
        matches[#matches + 1] = poll
        matches[#matches + 1] = miner
        matches[#matches + 1] = job
      end
      return
    end
    if tonumber(known[1]) > tonumber(offer) then return end
    if known[3] and known[3] ~= lane_list then leave(poll) end
  end
  local lanes = split(lane_list)
  local has_avoided = call('EXISTS', prefix .. 'avoid') == 1
  local now = tonumber(call('GET', time) or '0')
  local heads = {}
  for _, lane in ipairs(lanes) do
    heads[#heads + 1] = head(lane, miner, has_avoided)
  end
  local got = {}
  while #got < tonumber(slots) and #heads > 0 do
    local best = 1
    for at = 2, #heads do
      if is_before(heads[at], heads[best], now) then best = at end
    end
    local entry = heads[best]
    now = take(entry, now)
    got[#got + 1] = entry.job
    match(poll, miner, entry.job, offer)
    for at = 1, #heads do heads[at].tag = nil end
    local next_head = head(entry.lane, miner, has_avoided)
    if next_head then heads[best] = next_head else table.remove(heads, best) end
  end
  if #got > 0 then
    -- The miner gets these at once; it comes back for more.
    if known[3] then leave(poll) end
    call('HSET', record, 'offer', offer, 'miner', miner, 'epoch', poll_epoch, 'got', table.concat(got, ','))
  else
    call('HSET', record, 'offer', offer, 'miner', miner, 'epoch', poll_epoch, 'got', '', 'slots', slots, 'lanes', lane_list)
    for _, lane in ipairs(lanes) do call('ZADD', key('idle', lane), rank, poll) end
  end
  call('EXPIRE', record, POLL_TTL)
end

local function closed(poll)
  leave(poll)
  -- Whatever is still on its way for this poll comes too late.
  call('HSET', key('poll', poll), 'offer', '9007199254740991', 'got', '')
  call('EXPIRE', key('poll', poll), POLL_TTL)
end

local at = 2
while at <= #ARGV do
  local op = ARGV[at]
  if op == 'Q' then
    queued(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
    at = at + 7
  elseif op == 'W' then
    withdrawn(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
    at = at + 5
  elseif op == 'O' then
    opened(ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7])
    at = at + 8
  elseif op == 'C' then
    closed(ARGV[at + 1])
    at = at + 2
  else
    return redis.error_reply('unknown offer ' .. tostring(op))
  end
end

-- A poll that got anything is answered now, so it waits no longer.
for poll in pairs(touched) do leave(poll) end
return matches
