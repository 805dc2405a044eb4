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
--   clock:<lane>   HASH: <level> the lane's virtual time at that level, n the jobs taken
--   idle:<lane>    ZSET of polls that wait, score rank
--   poll:<poll>    HASH: miner, slots, rank, epoch, offer, lanes while it waits; got what it was given
--   match:<job>    offer/poll/miner of the match, or offer alone: the job was withdrawn
--   waiting        SET of the lanes that are not empty
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
-- Entries read of a lane at once.
local CHUNK = 8
-- Seconds. A poll lives 25 at most; a queue entry whose worker died is taken up again within 20.
local POLL_TTL = 60
local MATCH_TTL = 60
-- One more job in hand, in the terms of a poll's rank: the batch spreads over equals instead of filling the first.
local LOAD_STEP = 0.001

local matches = {}
local touched = {}
local epoch = tonumber(call('GET', prefix .. 'epoch') or '0')
local has_avoided = call('EXISTS', prefix .. 'avoid') == 1
-- Lanes found without an idle poll, until one opens: a batch of a hundred jobs looks once.
local no_idle = {}

local function key(kind, id) return prefix .. kind .. ':' .. id end

local function tag_text(tag) return string.format('%.3f', tag) end

local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,]+') do parts[#parts + 1] = part end
  return parts
end

local function propose(poll, miner, job)
  matches[#matches + 1] = poll
  matches[#matches + 1] = miner
  matches[#matches + 1] = job
end

local function match(poll, miner, job, offer)
  propose(poll, miner, job)
  call('SET', key('match', job), offer .. '/' .. poll .. '/' .. miner, 'EX', MATCH_TTL)
end

-- Takes a poll out of all its lanes; what it was given stays for a redelivered offer.
local function leave(poll)
  for _, lane in ipairs(split(call('HGET', key('poll', poll), 'lanes'))) do
    call('ZREM', key('idle', lane), poll)
  end
  call('HDEL', key('poll', poll), 'slots', 'lanes')
end

local function is_avoided(job, miner)
  local miners = has_avoided and call('HGET', prefix .. 'avoid', job)
  return miners and string.find(miners, miner, 1, true)
end

local function set_avoid(job, miners)
  if miners ~= '' then
    call('HSET', prefix .. 'avoid', job, miners)
    has_avoided = true
  elseif has_avoided then
    call('HDEL', prefix .. 'avoid', job)
  end
end

-- The best idle poll of a lane whose miner did not lose the job, its miner and its slots.
local function best_poll(lane, avoid)
  if no_idle[lane] then return nil end
  local idle = key('idle', lane)
  local skipped = 0
  for _ = 1, STALE_LOOK do
    local poll = call('ZRANGE', idle, skipped, skipped)[1]
    if not poll then
      if skipped == 0 then no_idle[lane] = true end
      return nil
    end
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

-- An empty lane begins anew: nobody is ahead or behind any more.
local function forget_if_empty(lane)
  if call('EXISTS', key('lane', lane)) == 1 then return false end
  call('DEL', key('flows', lane), key('clock', lane))
  call('SREM', prefix .. 'waiting', lane)
  return true
end

-- Start-time fair queueing: a job starts when its client's one before it finishes, or now when there is none; each job
-- counts one. So a client with ten thousand waiting is, for another's first job, one job ahead.
local function park(job, client, lane, priority)
  local level = 9 - priority
  local base = level * LEVEL
  local flow = level .. '/' .. client
  local start = tonumber(call('HGET', key('clock', lane), level) or '0')
  local last = call('ZSCORE', key('flows', lane), flow)
  if last and tonumber(last) - base > start then start = tonumber(last) - base end
  call('ZADD', key('flows', lane), tag_text(base + start + 1), flow)
  if call('ZADD', key('lane', lane), tag_text(base + start), job .. '/' .. client) == 1 then
    call('SADD', prefix .. 'waiting', lane)
  end
end

local function queued(job, client, lane, priority, offer, avoid)
  local earlier = call('GET', key('match', job))
  if earlier then
    local at, poll, miner = string.match(earlier, '^(%d+)/?([^/]*)/?(.*)$')
    if at == offer and poll ~= '' then return propose(poll, miner, job) end
    if tonumber(at) >= tonumber(offer) then return end
    call('DEL', key('match', job))
  end
  local member = job .. '/' .. client
  local is_parked = call('ZSCORE', key('lane', lane), member)
  local poll, miner, slots = best_poll(lane, avoid)
  if not poll then
    set_avoid(job, avoid)
    if not is_parked then park(job, client, lane, tonumber(priority)) end
    return
  end
  if is_parked then
    call('ZREM', key('lane', lane), member)
    forget_if_empty(lane)
  end
  set_avoid(job, '')
  match(poll, miner, job, offer)
  local got = call('HGET', key('poll', poll), 'got')
  call('HSET', key('poll', poll), 'got', got and got ~= '' and (got .. ',' .. job) or job, 'slots', slots - 1)
  touched[poll] = slots > 1 or nil
  if slots <= 1 then leave(poll) else call('ZINCRBY', key('idle', lane), LOAD_STEP, poll) end
end

local function withdrawn(job, client, lane, offer)
  call('SET', key('match', job), offer, 'EX', MATCH_TTL)
  set_avoid(job, '')
  if call('ZREM', key('lane', lane), job .. '/' .. client) == 1 then forget_if_empty(lane) end
end

local function entry_of(member, score)
  local job, client = string.match(member, '^(.-)/(.*)$')
  local level = math.floor(score / LEVEL)
  return { member = member, job = job, client = client, level = level, rank = level, start = score - level * LEVEL }
end

-- A lane while a poll chooses from it. What is taken is removed at the end, in one go.
local function look_at(lane)
  local view = { lane = lane, buffer = {}, at = 1, offset = 0, skipped = 0, gone = {}, taken = {}, clock = {}, moved = {}, n = 0 }
  local clock = call('HGETALL', key('clock', lane))
  for at = 1, #clock, 2 do
    if clock[at] == 'n' then view.n = tonumber(clock[at + 1]) else view.clock[tonumber(clock[at])] = tonumber(clock[at + 1]) end
  end
  return view
end

-- The first in the lane's order that this miner did not lose.
local function first_in_order(view, miner)
  while true do
    local member = view.buffer[view.at]
    if not member then
      view.buffer = call('ZRANGE', key('lane', view.lane), view.offset, view.offset + CHUNK - 1, 'WITHSCORES')
      view.offset = view.offset + CHUNK
      view.at = 1
      if #view.buffer == 0 then return nil end
    else
      local entry = not view.gone[member] and entry_of(member, tonumber(view.buffer[view.at + 1]))
      if entry and not is_avoided(entry.job, miner) then return entry end
      if entry then
        view.skipped = view.skipped + 1
        if view.skipped >= LOOK then return nil end
      end
      view.at = view.at + 2
    end
  end
end

-- The first at this level or below it.
local function first_at_level(view, miner, level)
  local look = LOOK + #view.taken
  local range = call('ZRANGEBYSCORE', key('lane', view.lane), level * LEVEL, '+inf', 'WITHSCORES', 'LIMIT', 0, look)
  for at = 1, #range, 2 do
    local entry = not view.gone[range[at]] and entry_of(range[at], tonumber(range[at + 1]))
    if entry and not is_avoided(entry.job, miner) then return entry end
  end
end

-- The job of this lane whose turn it is; nil when there is none for this miner.
local function head(view, miner)
  local found = first_in_order(view, miner)
  if found and view.n % SHARED_TURN == SHARED_TURN - 1 then
    local other = first_at_level(view, miner, math.floor(view.n / SHARED_TURN) % LEVELS)
    if other then
      -- It stands where the lane's first would, so that another lane does not take its turn away.
      other.rank = found.rank
      found = other
    end
  end
  return found
end

local function take(view, entry)
  view.gone[entry.member] = true
  view.taken[#view.taken + 1] = entry.member
  view.n = view.n + 1
  view.clock[entry.level] = math.max((view.clock[entry.level] or 0) + CREEP, entry.start)
  view.moved[entry.level] = true
  set_avoid(entry.job, '')
end

local function put_back(view)
  if #view.taken == 0 then return end
  local lane = view.lane
  call('ZREM', key('lane', lane), unpack(view.taken))
  if forget_if_empty(lane) then return end
  local fields = { 'n', view.n }
  for level in pairs(view.moved) do
    fields[#fields + 1] = level
    fields[#fields + 1] = tag_text(view.clock[level])
    -- Clients whose tag the clock has passed stand where a new one would.
    call('ZREMRANGEBYSCORE', key('flows', lane), level * LEVEL, tag_text(level * LEVEL + view.clock[level]))
  end
  call('HSET', key('clock', lane), unpack(fields))
end

-- Takes up to `slots` jobs out of these lanes. Among lanes counts priority, then the client that was served least over
-- all lanes, then age: a client gains nothing by many lanes, and one that is stuck in a lane loses nothing in another.
local function choose(lanes, miner, slots)
  local views, heads = {}, {}
  for _, lane in ipairs(lanes) do
    local view = look_at(lane)
    local first = head(view, miner)
    if first then
      views[#views + 1] = view
      heads[#heads + 1] = first
    end
  end
  if #views == 0 then return {} end

  local served = prefix .. 'served'
  local now = tonumber(call('GET', prefix .. 'time') or '0')
  local tags = {}
  local function tag_of(client)
    if not tags[client] then tags[client] = tonumber(call('ZSCORE', served, client) or '0') end
    return math.max(tags[client], now)
  end
  local function is_before(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    if a.client ~= b.client then
      local tag_a, tag_b = tag_of(a.client), tag_of(b.client)
      if tag_a ~= tag_b then return tag_a < tag_b end
    end
    return a.job < b.job
  end

  local got, changed = {}, {}
  while #got < slots and #heads > 0 do
    local best = 1
    for at = 2, #heads do
      if is_before(heads[at], heads[best]) then best = at end
    end
    local entry = heads[best]
    take(views[best], entry)
    got[#got + 1] = entry.job
    local tag = tag_of(entry.client)
    tags[entry.client] = tag + 1
    changed[entry.client] = true
    now = math.max(now + CREEP, tag)
    if #got < slots then
      heads[best] = head(views[best], miner)
      if not heads[best] then
        put_back(table.remove(views, best))
        table.remove(heads, best)
      end
    end
  end
  for _, view in ipairs(views) do put_back(view) end
  for client in pairs(changed) do call('ZADD', served, tag_text(tags[client]), client) end
  call('SET', prefix .. 'time', tag_text(now))
  call('ZREMRANGEBYSCORE', served, '-inf', tag_text(now))
  return got
end

local function lanes_with_work(lanes)
  local found = {}
  if #lanes == 0 then return found end
  for at, is_waiting in ipairs(call('SMISMEMBER', prefix .. 'waiting', unpack(lanes))) do
    if is_waiting == 1 then found[#found + 1] = lanes[at] end
  end
  return found
end

local function opened(poll, miner, slots, rank, offer, poll_epoch, lane_list)
  if tonumber(poll_epoch) < epoch then return end
  if tonumber(poll_epoch) > epoch then
    epoch = tonumber(poll_epoch)
    call('SET', prefix .. 'epoch', poll_epoch)
  end
  local record = key('poll', poll)
  local known = call('HMGET', record, 'offer', 'got', 'lanes')
  if known[1] == offer then
    for _, job in ipairs(split(known[2])) do propose(poll, miner, job) end
    return
  end
  if known[1] and tonumber(known[1]) > tonumber(offer) then return end

  local lanes = split(lane_list)
  local got = choose(lanes_with_work(lanes), miner, tonumber(slots))
  for _, job in ipairs(got) do match(poll, miner, job, offer) end
  if #got > 0 then
    -- The miner gets these at once; it comes back for more.
    if known[3] then leave(poll) end
    call('HSET', record, 'offer', offer, 'miner', miner, 'epoch', poll_epoch, 'got', table.concat(got, ','))
  else
    if known[3] and known[3] ~= lane_list then leave(poll) end
    call('HSET', record, 'offer', offer, 'miner', miner, 'epoch', poll_epoch, 'got', '', 'slots', slots, 'lanes', lane_list)
    for _, lane in ipairs(lanes) do
      call('ZADD', key('idle', lane), rank, poll)
      no_idle[lane] = nil
    end
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
