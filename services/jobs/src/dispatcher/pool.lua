-- The index of waiting jobs and idle polls. One call runs a batch of offers in order and returns the matches it made,
-- flat: poll, miner, job, poll, miner, job, ... A poll whose kind is not known is returned with an empty job.
-- Nothing in it looks at more than a bounded number of entries, whatever waits.
--
-- ARGV[1] is the prefix of all keys; then, one after the other:
--   Q job client tier type model card region cell price memory cuda priority offer avoid card_number
--                                                           a job may run (avoid: accounts and miners, comma-separated, or empty)
--   W job offer                                             a job left the queue
--   K kind types models places card_numbers memories region price cuda     what miners of this kind can do
--   O poll miner account slots rank offer epoch kind        a poll is open
--   C poll                                                  a poll ended
-- Lists are comma-separated. Tier 1 pays, tier 0 does not.
--
-- A group is what can only be equal or not: tier|type|model|card|region. A job with a model stands in the group of its
-- model and in that of `*`, where miners look that take any. Numbers are cut into classes: a group has one queue for
-- each combination of classes in which something waits, its cells. Classes only save looking: where one lies across a
-- miner's number, each job in it is compared with the number itself.
--
-- Keys, each after the prefix:
--   job:<job>        what was said of a job that waits; after that, for a while, `=offer/poll/miner` of its match, or
--                    `=offer` alone: it was withdrawn
--   waits            SET of tier|type|model where something waits, and of tier|type|model| where something waits that
--                    asks for a card or a region
--   places:<tier>|<type>|<model>, cells:<group>
--                    SETs that lead on from there: the script starts from the miner's side
--   turns:<queue>    ZSET client -> start tag: the queue's clients in the order of their turns
--   own:<queue>|<client>  ZSET job -> 9 - priority: the order among a client's own jobs, then age
--   easy:<queue>     ZSET job -> what makes it easy to satisfy: the best payer, unpaid the smallest memory
--   served:<tier>, time:<tier>   ZSET client -> tag after its last job; the virtual time of service
--   row              HASH miner -> paid jobs it took in a row while unpaid ones waited
--   able:<kind>, able:<kind>:waits, able:<kind>:places   HASH of a kind of miner; SET of what of `waits` is for it; SET
--   idle:near        ZSET of poll|kind by rank: so many polls that wait as a job may look at. Most often it is all
--   idle:<facet>     ZSETs of the polls beyond those: t|type, a|type (any model), m|model, r|region, c|number of a card,
--                    by rank; price, memory and cuda, by the number
--   poll:<poll>      what is known of a poll, see POLL_FIELDS
--   avoid            HASH job -> accounts that lost it, and a miner that could not run it just now
-- What a call reads of jobs, polls and kinds it keeps until its end, and writes it once.
local prefix = ARGV[1]
local call = redis.call

-- Paid jobs that a miner takes in a row while unpaid ones wait; then one unpaid has its turn.
local PAID_IN_A_ROW = 16
-- A client that pays most is served so many times as often as one that pays least: it is preferred, and nobody starves.
local WEIGHT_MAX = 4
-- Prices up to 10^15 minor units have this many classes.
local PRICE_CLASSES = 16
-- Each job taken moves the clock at least so far: clients that come new for ever stand where the clock is, and those
-- that have waited since before must get in front of them.
local CREEP = 0.001
-- Each client that begins to wait moves it so far: who comes first stands first.
local ARRIVAL = 0.000001
-- Queues that one poll compares, and queues it looks into for those; of more a part, another one each time.
local HEADS_MAX = 24
local QUEUES_MAX = 64
local CELLS_READ_MAX = 256
-- Clients of a queue, and jobs of a client, looked at in their order...
local CLIENTS_LOOK = 8
local CLIENTS_LOOK_MORE = 64
local JOBS_LOOK = 8
-- ...and then those that are easiest to satisfy: of the rest a part, another one each time.
local EASY_LOOK = 64
local EASY_LOOK_MORE = 192
-- Idle polls looked at for a job: the best ranked, then as many from anywhere.
local IDLE_LOOK = 32
-- Seconds. A poll lives 25 at most; a queue entry whose worker died is taken up again within 20.
local POLL_TTL = 60
local MATCH_TTL = 60
-- A kind that no poll named for so long is asked for again. Not much longer than a poll is kept: an account may
-- change 32 MB of what its miners list within it (services/miners/src/attributes.ts), and what nobody polls with any
-- more is not worth its memory.
local KIND_TTL = 150
-- A poll that finds less than this left renews it: its kind outlives it, and most polls write nothing.
local KIND_LEFT_MIN = 90
local ROW_TTL = 3600
-- One more job in hand, in the terms of a poll's rank: the batch spreads over equals instead of filling the first.
local LOAD_STEP = 0.01

local function key(name, id) return prefix .. name .. ':' .. id end
local function tag_text(tag) return string.format('%.6f', tag) end

local function split(text, separator)
  local parts = {}
  for part in string.gmatch((text or '') .. separator, '(.-)' .. separator) do parts[#parts + 1] = part end
  return parts
end
local function list(text)
  if not text or text == '' then return {} end
  return split(text, ',')
end
-- The bounds of the classes; match.ts owns them.
local MEMORY_CLASSES = { MEMORY_CLASSES_ARE_PUT_HERE }
local CUDA_CLASSES = { CUDA_CLASSES_ARE_PUT_HERE }

local matches = {}
local touched = {}
local heard = call('MGET', prefix .. 'epoch', prefix .. 'time:0', prefix .. 'time:1')
local epoch = tonumber(heard[1] or '0')
local has_avoided = call('EXISTS', prefix .. 'avoid') == 1
-- Types found without an idle poll, until one opens: a batch of a hundred jobs looks once.
local no_idle = {}
local kinds = {}
-- What was read of `served` and `time`, and what of it changed: written at the end.
local served = { [0] = {}, [1] = {} }
local changed = { [0] = {}, [1] = {} }
local times = { [0] = tonumber(heard[2] or '0'), [1] = tonumber(heard[3] or '0') }
local time_moved = {}
-- What was read of jobs and polls, and what of it changed: written at the end.
local jobs, jobs_changed, records = {}, {}, {}
local stands = {}
local polls, polls_changed = {}, {}
-- Queues that are known to be in their sets, and queues that may be empty: taken out at the end. What was read of
-- `cells`, queues in which nothing was found, and members of `waits` of which all queues are so.
local registered = {}
local emptied = {}
local cells_read = {}
local is_empty = {}
local is_nothing_at = {}
local time_before = { [0] = times[0], [1] = times[1] }

local function propose(poll, miner, job)
  matches[#matches + 1] = poll
  matches[#matches + 1] = miner
  matches[#matches + 1] = job
end

-- False: nothing is known of it.
local function read_job(job)
  local text = jobs[job]
  if text == nil then
    text = call('GET', prefix .. 'job:' .. job)
    jobs[job] = text
  end
  return text
end

local function write_job(job, text, record)
  jobs[job] = text
  records[job] = record
  jobs_changed[job] = true
end

local MATCHED = 61 -- the character =
local function is_waiting(text) return text and string.byte(text) ~= MATCHED end

local function match(poll, miner, job, offer)
  propose(poll, miner, job)
  write_job(job, '=' .. offer .. '/' .. poll .. '/' .. miner)
end

-- Ids are all different, so one list holds those of accounts and of miners.
local function is_named(avoid, account, miner)
  return string.find(avoid, account, 1, true) or string.find(avoid, miner, 1, true)
end

local function is_avoided(job, poll)
  local avoid = has_avoided and call('HGET', prefix .. 'avoid', job)
  return avoid and is_named(avoid, poll.account, poll.miner)
end

local function set_avoid(job, avoid)
  if avoid ~= '' then
    call('HSET', prefix .. 'avoid', job, avoid)
    has_avoided = true
  elseif has_avoided then
    call('HDEL', prefix .. 'avoid', job)
  end
end

-- What is known of a kind; nil when nothing is.
local function kind_of(id)
  if kinds[id] == nil then
    local name = prefix .. 'able:' .. id
    local found = call('HMGET', name, 'types', 'region', 'price', 'cuda', 'card_numbers', 'memory')
    if not found[1] then return nil end
    local kind = {
      id = id, name = name, types = {}, type_list = list(found[1]), region = found[2], price = tonumber(found[3]),
      cuda = tonumber(found[4]), card_numbers = found[5], memory = tonumber(found[6]), by_card = { [''] = tonumber(found[6]) },
      waits = name .. ':waits', places = name .. ':places', has = {},
    }
    for _, type in ipairs(kind.type_list) do kind.types[type] = true end
    kinds[id] = kind
  end
  return kinds[id]
end

local function keep_kind(kind)
  for _, part in ipairs({ '', ':waits', ':places' }) do call('EXPIRE', kind.name .. part, KIND_TTL) end
end

-- Memory of the largest card of this name; nil without such a card.
local function memory_of(kind, card)
  if kind.by_card[card] == nil then
    kind.by_card[card] = tonumber(call('HGET', kind.name, 'card|' .. card) or nil) or false
  end
  return kind.by_card[card]
end

local function record_of(client, tier, type, model, card, region, cell, price, memory, cuda, priority)
  return {
    client = client, tier = tonumber(tier), type = type, model = model, card = card, region = region, cell = cell,
    price = tonumber(price), memory = tonumber(memory), cuda = tonumber(cuda), priority = tonumber(priority),
    branch = tier .. '|' .. type, place = card .. '|' .. region,
  }
end

local FIELDS = '^' .. string.rep('([^|]*)|', 10) .. '([^|]*)$'
-- Of a job that waits.
local function record_of_job(job)
  local record = records[job]
  if not record then
    record = record_of(string.match(read_job(job), FIELDS))
    records[job] = record
  end
  return record
end

-- The decision itself, with the numbers that were sent. `kind` stands where the job stands, so the rest is equal.
local function fits_numbers(kind, record)
  local memory = memory_of(kind, record.card)
  return memory and record.price >= kind.price and record.memory <= memory and record.cuda <= kind.cuda
end

local function fits(kind, record)
  if not kind.types[record.type] then return false end
  if record.region ~= '' and record.region ~= kind.region then return false end
  if not fits_numbers(kind, record) then return false end
  if record.model == '' then return true end
  local has = kind.has[record.branch .. '|' .. record.model]
  if has == nil then
    -- Tier 1 is in the set of every kind.
    local start = '1|' .. record.type .. '|'
    local found = call('SMISMEMBER', kind.waits, start .. record.model, start .. '*')
    has = found[1] == 1 or found[2] == 1
    kind.has[record.branch .. '|' .. record.model] = has
  end
  return has
end

-- The waiting side ---------------------------------------------------------------------------------------------------

local function set_time(tier, time)
  times[tier] = time
  time_moved[tier] = true
end

local function served_tag(tier, client)
  local known = served[tier][client]
  if known == nil then
    known = tonumber(call('ZSCORE', key('served', tier), client) or '0')
    served[tier][client] = known
  end
  return known
end

local NO_PLACE = '|'

local function stand_of(record, model)
  local start = record.branch .. '|' .. model
  local group = start .. '|' .. record.place
  local queue = group .. '|' .. record.cell
  local stand = stands[queue]
  if not stand then
    stand = {
      queue = queue, turns = prefix .. 'turns:' .. queue, cells = prefix .. 'cells:' .. group,
      places = prefix .. 'places:' .. start, waits = record.place == NO_PLACE and start or start .. '|',
    }
    stands[queue] = stand
  end
  return stand
end

-- Where a job stands: in the group of its model and in that of `*`. The second holds all that the first does.
local function stands_of(record)
  if not record.stands then
    local first = stand_of(record, record.model)
    record.stands = record.model == '' and { first } or { first, stand_of(record, '*') }
  end
  return record.stands
end

local function own_key(stand, client) return prefix .. 'own:' .. stand.queue .. '|' .. client end

-- Of all clients of a range with scores at once.
local function read_served(tier, range)
  local unknown
  for at = 1, #range, 2 do
    if served[tier][range[at]] == nil then
      unknown = unknown or {}
      unknown[#unknown + 1] = range[at]
    end
  end
  if not unknown then return end
  local tags = call('ZMSCORE', key('served', tier), unpack(unknown))
  for at, client in ipairs(unknown) do served[tier][client] = tonumber(tags[at] or '0') end
end

-- What the order `easy` goes by; nothing where all of a queue are alike.
local function ease_of(record)
  if record.tier == 1 then return record.price end
  if record.memory > 0 or record.cuda >= 0 then return -record.memory end
end

local function park(job, record)
  local tier, client = record.tier, record.client
  local ease = ease_of(record)
  local waits = {}
  for _, stand in ipairs(stands_of(record)) do
    call('ZADD', own_key(stand, client), 9 - record.priority, job)
    if ease then call('ZADD', prefix .. 'easy:' .. stand.queue, ease, job) end
    local time = times[tier] + ARRIVAL
    local start = math.max(time, served_tag(tier, client))
    if call('ZADD', stand.turns, 'NX', tag_text(start), client) == 1 then
      set_time(tier, time)
      is_empty[stand.queue] = nil
      is_nothing_at[stand.waits] = nil
      if not registered[stand.queue] then
        registered[stand.queue] = true
        call('SADD', stand.cells, record.cell)
        cells_read[stand.cells] = nil
        if record.place ~= NO_PLACE then call('SADD', stand.places, record.place) end
        waits[#waits + 1] = stand.waits
      end
    end
  end
  if #waits > 0 then call('SADD', prefix .. 'waits', unpack(waits)) end
end

-- How many of a job's stands, from the first on, have nothing more: the second holds all that the first does.
local function count_without(first, second)
  if not second then return 1 - call('EXISTS', first) end
  return 2 - call('EXISTS', first, second)
end

-- Takes a job out of all its queues. @returns whether its client has no more in the queue of this name
local function remove(job, record, queue)
  local client, of_job, ease = record.client, stands_of(record), ease_of(record)
  local first, second = own_key(of_job[1], client), of_job[2] and own_key(of_job[2], client)
  call('ZREM', first, job)
  if second then call('ZREM', second, job) end
  if ease then
    for _, stand in ipairs(of_job) do call('ZREM', prefix .. 'easy:' .. stand.queue, job) end
  end
  local is_gone = false
  for at = 1, count_without(first, second) do
    local stand = of_job[at]
    call('ZREM', stand.turns, client)
    is_gone = is_gone or stand.queue == queue
    emptied[of_job[1].queue] = record
  end
  return is_gone
end

-- What is empty is forgotten.
local function forget_emptied()
  local waits = {}
  for _, record in pairs(emptied) do
    local first, second = stands_of(record)[1], stands_of(record)[2]
    local gone = count_without(first.turns, second and second.turns)
    if gone > 0 then
      call('SREM', first.cells, record.cell)
      if gone > 1 then call('SREM', second.cells, record.cell) end
      for at = 1, count_without(first.cells, second and second.cells) do
        local stand = at == 1 and first or second
        local is_last = record.place == NO_PLACE
        if not is_last then
          call('SREM', stand.places, record.place)
          is_last = call('EXISTS', stand.places) == 0
        end
        if is_last then waits[#waits + 1] = stand.waits end
      end
    end
  end
  for at = 1, #waits, 1000 do call('SREM', prefix .. 'waits', unpack(waits, at, math.min(at + 999, #waits))) end
end

-- 1 for what pays least, in even steps to WEIGHT_MAX.
local function weight_of(pays_class) return 1 + (WEIGHT_MAX - 1) * pays_class / PRICE_CLASSES end

-- How a class stands to a miner's number: all of it fits, some may, none does.
local ALL, SOME, NONE = 2, 1, 0
local function class_fit(bounds, class, has)
  if bounds[class + 1] <= has then return ALL end
  if bounds[class] >= has then return NONE end
  return SOME
end
local function price_fit(class, reserve)
  if reserve == 0 then return ALL end
  if class == 0 or 10 ^ class <= reserve then return NONE end
  if 10 ^ (class - 1) >= reserve then return ALL end
  return SOME
end

-- A queue while a poll chooses from it.
local function view_of(kind, tier, group, card, cell)
  local memory = memory_of(kind, card)
  if not memory then return nil end
  local pays, price, gigabytes, cuda = string.match(cell, '^(%d+)%.(%d+)%.(%d+)%.(%d+)$')
  local fit = math.min(
    price_fit(tonumber(price), kind.price),
    class_fit(MEMORY_CLASSES, tonumber(gigabytes), memory),
    class_fit(CUDA_CLASSES, tonumber(cuda), kind.cuda)
  )
  if fit == NONE then return nil end
  return { tier = tier, queue = group .. '|' .. cell, is_exact = fit == ALL, weight = weight_of(tonumber(pays)) }
end

-- Goes through a list from another place each time, until `visit` has enough.
local function each_from(members, seed, visit)
  local count = #members
  for at = 1, count do
    if visit(members[(seed + at) % count + 1]) then return true end
  end
end

local function entry_of(job, client, start, urgency)
  return { job = job, client = client, start = start, urgency = urgency }
end

local function suits(view, poll, job)
  if is_avoided(job, poll) then return false end
  return view.is_exact or fits_numbers(poll.kind, record_of_job(job))
end

local function is_earlier(a, b)
  if a.start ~= b.start then return a.start < b.start end
  return a.client < b.client
end

-- The clients of a queue whose turn is next. A tag here is that of the time when the client began to wait; what it was
-- served elsewhere since then counts as soon as its turn comes up.
local function next_clients(view)
  local turns = key('turns', view.queue)
  local found
  for _ = 1, 4 do
    local range = call('ZRANGE', turns, 0, CLIENTS_LOOK - 1, 'WITHSCORES')
    read_served(view.tier, range)
    found = {}
    local last = tonumber(range[#range])
    local moved_past = false
    for at = 1, #range, 2 do
      local client, start = range[at], tonumber(range[at + 1])
      local tag = served_tag(view.tier, client)
      if tag > start then
        call('ZADD', turns, tag_text(tag), client)
        start = tag
        moved_past = moved_past or (tag > last and #range == 2 * CLIENTS_LOOK)
      end
      found[#found + 1] = { client = client, start = start }
    end
    if not moved_past then break end
  end
  if #found > 1 then table.sort(found, is_earlier) end
  return found
end

local function easiest(view, poll, seed)
  local easy = key('easy', view.queue)
  local function look(from, count)
    for _, job in ipairs(call('ZREVRANGE', easy, from, from + count - 1)) do
      if suits(view, poll, job) then
        local record = record_of_job(job)
        return entry_of(job, record.client, times[view.tier], 9 - record.priority)
      end
    end
  end
  local found = look(0, EASY_LOOK)
  if found then return found end
  local left = call('ZCARD', easy) - EASY_LOOK
  if left <= 0 then return nil end
  return look(EASY_LOOK + (left > EASY_LOOK_MORE and seed % (left - EASY_LOOK_MORE + 1) or 0), EASY_LOOK_MORE)
end

-- The job of this queue whose turn it is; nil when there is none for this miner.
local function head(view, poll, seed)
  local look = (view.is_exact and not has_avoided) and 0 or JOBS_LOOK - 1
  local function first_of(client, start)
    local own = call('ZRANGE', prefix .. 'own:' .. view.queue .. '|' .. client, 0, look, 'WITHSCORES')
    for at = 1, #own, 2 do
      if suits(view, poll, own[at]) then return entry_of(own[at], client, start, tonumber(own[at + 1])) end
    end
  end
  local clients = next_clients(view)
  for _, turn in ipairs(clients) do
    local entry = first_of(turn.client, turn.start)
    if entry then return entry end
  end
  if #clients == 0 then
    is_empty[view.queue] = true
    return nil
  end
  local easy = easiest(view, poll, seed)
  if easy or #clients < CLIENTS_LOOK then return easy end
  local further = call('ZRANGE', key('turns', view.queue), CLIENTS_LOOK, CLIENTS_LOOK_MORE - 1, 'WITHSCORES')
  for at = 1, #further, 2 do
    local entry = first_of(further[at], tonumber(further[at + 1]))
    if entry then return entry end
  end
end

-- The queues that have a job for this poll, with the first of each. `starts` are those of `waits` that are for it.
local function open_queues(poll, tier, starts, seed)
  local kind, heads, looked = poll.kind, {}, 0
  local function look(group, card, cell)
    local view = view_of(kind, tier, group, card, cell)
    if not view then return false end
    local entry = head(view, poll, seed)
    if entry then heads[#heads + 1] = { view = view, entry = entry } end
    if not is_empty[view.queue] then looked = looked + 1 end
    return #heads >= HEADS_MAX or looked >= QUEUES_MAX
  end
  local function look_into(start, place)
    local group = start .. '|' .. place
    local card = place == NO_PLACE and '' or string.match(place, '^(.-)|')
    local name = prefix .. 'cells:' .. group
    local cells = cells_read[name] or call('SRANDMEMBER', name, CELLS_READ_MAX)
    if #cells < CELLS_READ_MAX then cells_read[name] = cells end
    local count, empty = #cells, 0
    for at = 1, count do
      local cell = cells[(seed + at) % count + 1]
      -- What became empty in this call is forgotten only at its end.
      if is_empty[group .. '|' .. cell] then empty = empty + 1
      elseif look(group, card, cell) then return true end
    end
    if place == NO_PLACE and empty == count and count < CELLS_READ_MAX then is_nothing_at[start] = true end
  end
  each_from(starts, seed, function(start)
    if is_nothing_at[start] then return false end
    if string.byte(start, -1) ~= 124 or string.match(start, '^%d|[^|]*|$') then return look_into(start, NO_PLACE) end
    start = string.sub(start, 1, -2)
    local places = call('SINTER', prefix .. 'places:' .. start, kind.places)
    return each_from(places, seed, function(place) return look_into(start, place) end)
  end)
  return heads
end

-- A client's turn comes when what it waits for would be finished first, at the pace of what it pays.
local function finish_of(item)
  return math.max(item.entry.start, served_tag(item.view.tier, item.entry.client)) + 1 / item.view.weight
end

local function best_of(heads)
  local best, best_finish
  for _, item in ipairs(heads) do
    local finish = finish_of(item)
    if not best or finish < best_finish or (finish == best_finish and item.entry.job < best.entry.job) then
      best, best_finish = item, finish
    end
  end
  if not best then return nil end
  -- Whose turn it is decides which of its own jobs comes first: by its priorities, then by age.
  for _, item in ipairs(heads) do
    if item.entry.client == best.entry.client then
      local mine, other = item.entry.urgency, best.entry.urgency
      if mine < other or (mine == other and item.entry.job < best.entry.job) then best = item end
    end
  end
  return best
end

local function take(heads, item, poll, seed, is_last)
  local tier, entry = item.view.tier, item.entry
  local client = entry.client
  local time = times[tier]
  local start = math.max(entry.start, served_tag(tier, client))
  -- What it waited counts for one job; after that it stands where others are.
  local tag = math.max(start + 1 / item.view.weight, time)
  local is_gone = remove(entry.job, record_of_job(entry.job), item.view.queue)
  set_avoid(entry.job, '')
  served[tier][client] = tag
  changed[tier][client] = tag
  if not is_gone then call('ZADD', key('turns', item.view.queue), 'XX', tag_text(tag), client) end
  set_time(tier, math.max(time + CREEP, start))
  if is_last then return end
  for at = #heads, 1, -1 do
    local other = heads[at]
    if other.entry.client == client then
      other.entry = head(other.view, poll, seed)
      if not other.entry then table.remove(heads, at) end
    end
  end
end

-- Takes up to `slots` jobs for a poll: paid before unpaid, with a turn for the unpaid where they wait behind many.
local function choose(poll, slots, seed)
  local got = {}
  local starts = { [0] = {}, [1] = {} }
  for _, start in ipairs(call('SINTER', prefix .. 'waits', poll.kind.waits)) do
    local of_tier = starts[tonumber(string.sub(start, 1, 1))]
    of_tier[#of_tier + 1] = start
  end
  local takes_unpaid = #starts[0] > 0
  local paid = #starts[1] > 0 and open_queues(poll, 1, starts[1], seed) or {}
  if #paid == 0 and not takes_unpaid then return got end
  local unpaid
  local row_before = takes_unpaid and #paid > 0 and tonumber(call('HGET', prefix .. 'row', poll.miner) or '0') or 0
  local row = row_before
  local function take_unpaid()
    if not takes_unpaid then return nil end
    unpaid = unpaid or open_queues(poll, 0, starts[0], seed)
    return best_of(unpaid), unpaid
  end
  while #got < slots do
    local item, heads
    if row >= PAID_IN_A_ROW then item, heads = take_unpaid() end
    if not item then item, heads = best_of(paid), paid end
    if not item then item, heads = take_unpaid() end
    if not item then break end
    got[#got + 1] = item.entry.job
    if heads == unpaid then row = 0 elseif takes_unpaid then row = math.min(row + 1, PAID_IN_A_ROW) end
    take(heads, item, poll, seed, #got == slots)
  end
  if row ~= row_before then
    if row == 0 then call('HDEL', prefix .. 'row', poll.miner) else call('HSET', prefix .. 'row', poll.miner, row) end
    call('EXPIRE', prefix .. 'row', ROW_TTL)
  end
  return got
end

-- The idle side ------------------------------------------------------------------------------------------------------

-- A poll as text: these in their order. `slots` and where it waits (`near` or `far`) while it waits, `got` what it was given.
local POLL_FIELDS = { 'offer', 'miner', 'account', 'epoch', 'kind', 'rank', 'got', 'slots', 'where' }
local POLL = '^' .. string.rep('([^|]*)|', #POLL_FIELDS - 1) .. '([^|]*)$'

-- False: nothing is known of it.
local function read_poll(id)
  local poll = polls[id]
  if poll == nil then
    local text = call('GET', prefix .. 'poll:' .. id)
    poll = false
    if text then
      poll = { id = id }
      for at, value in ipairs({ string.match(text, POLL) }) do poll[POLL_FIELDS[at]] = value end
    end
    polls[id] = poll
  end
  return poll
end

local function write_poll(poll)
  polls[poll.id] = poll
  polls_changed[poll.id] = true
end

local function each_facet(kind, rank, visit)
  local any = false
  for _, model in ipairs(split(call('HGET', kind.name, 'models'), ',')) do
    if model == '*' then any = true elseif model ~= '' then visit('m|' .. model, rank) end
  end
  for _, type in ipairs(kind.type_list) do
    visit('t|' .. type, rank)
    if any then visit('a|' .. type, rank) end
  end
  if kind.region ~= '' then visit('r|' .. kind.region, rank) end
  for _, word in ipairs(list(kind.card_numbers)) do visit('c|' .. word, rank) end
  visit('price', kind.price)
  if kind.memory > 0 then visit('memory', kind.memory) end
  if kind.cuda >= 0 then visit('cuda', kind.cuda) end
end

local function is_idle(poll) return poll and poll.slots ~= '' end

-- From now on it waits. While few do, one set holds them all and a job looks at each; those beyond it are found by facets.
local function wait(poll, kind)
  local near = prefix .. 'idle:near'
  if poll.where == 'near' or (poll.where == '' and call('ZCARD', near) < IDLE_LOOK) then
    poll.where = 'near'
    call('ZADD', near, poll.rank, poll.id .. '|' .. kind.id)
  else
    poll.where = 'far'
    -- Its facets are taken out by what is known of its kind.
    keep_kind(kind)
    each_facet(kind, poll.rank, function(facet, score) call('ZADD', prefix .. 'idle:' .. facet, score, poll.id) end)
  end
  no_idle = {}
end

-- Takes a poll out of where it waits; what it was given stays for a redelivered offer.
local function leave(poll)
  if not is_idle(poll) then return end
  if poll.where == 'near' then
    call('ZREM', prefix .. 'idle:near', poll.id .. '|' .. poll.kind)
  else
    local kind = kind_of(poll.kind)
    if kind then each_facet(kind, 0, function(facet) call('ZREM', prefix .. 'idle:' .. facet, poll.id) end) end
  end
  poll.slots, poll.where = '', ''
  write_poll(poll)
end

-- The idle polls to look at for a job: those of whatever it asks for that fewest have.
local function idle_terms(record, card_number)
  local count = call('ZCARD', key('idle', 't|' .. record.type))
  if count == 0 then return nil, 0 end
  local best = { facets = { 't|' .. record.type } }
  if count <= IDLE_LOOK then return best, count end
  local function consider(facets, from)
    local sum = 0
    for _, facet in ipairs(facets) do
      sum = sum + (from and call('ZCOUNT', key('idle', facet), from[1], from[2]) or call('ZCARD', key('idle', facet)))
    end
    if sum < count then best, count = { facets = facets, from = from }, sum end
  end
  if record.model ~= '' then consider({ 'm|' .. record.model, 'a|' .. record.type }) end
  if record.region ~= '' then consider({ 'r|' .. record.region }) end
  if card_number ~= '' then consider({ 'c|' .. card_number }) end
  consider({ 'price' }, { '-inf', record.price })
  if record.memory > 0 then consider({ 'memory' }, { record.memory, '+inf' }) end
  if record.cuda >= 0 then consider({ 'cuda' }, { record.cuda, '+inf' }) end
  return best, count
end

-- The best idle poll for a job among those looked at.
local function best_poll(record, avoid, card_number, seed)
  if no_idle[record.type] then return nil end
  local near = call('ZRANGE', prefix .. 'idle:near', 0, -1)
  local term, count = idle_terms(record, card_number)
  local best
  local has_type = term ~= nil
  -- @returns whether it fits; nil when it waits no more
  local function consider(id, kind_id)
    local poll = read_poll(id)
    local kind = is_idle(poll) and tonumber(poll.epoch) >= epoch and (not kind_id or kind_id == poll.kind) and kind_of(poll.kind)
    if not kind then return nil end
    if (avoid ~= '' and is_named(avoid, poll.account, poll.miner)) or not fits(kind, record) then return false end
    local rank = tonumber(poll.rank)
    if not best or rank < best.rank or (rank == best.rank and id < best.id) then best = { id = id, rank = rank } end
    return true
  end
  -- In the order of rank: the first that fits is the best here.
  for _, member in ipairs(near) do
    local id, kind_id = string.match(member, '^(.-)|(.*)$')
    local kind = kind_of(kind_id)
    has_type = has_type or not kind or kind.types[record.type]
    if not kind or fits(kind, record) then
      local is_fit = consider(id, kind_id)
      if is_fit == nil then call('ZREM', prefix .. 'idle:near', member) end
      if is_fit then break end
    end
  end
  if not has_type then no_idle[record.type] = true end
  if not term then return best and polls[best.id] end
  local function consider_far(facet, id)
    local is_fit = consider(id)
    if is_fit == nil then call('ZREM', key('idle', facet), id) end
    return is_fit
  end
  for _, facet in ipairs(term.facets) do
    local idle = key('idle', facet)
    if term.from then
      local range = call('ZRANGEBYSCORE', idle, term.from[1], term.from[2], 'LIMIT', 0, IDLE_LOOK)
      for _, id in ipairs(range) do consider_far(facet, id) end
    else
      for _, id in ipairs(call('ZRANGE', idle, 0, IDLE_LOOK - 1)) do
        if consider_far(facet, id) then break end
      end
    end
  end
  if not best and count > IDLE_LOOK then
    for _, facet in ipairs(term.facets) do
      local skip = seed % math.max(1, count)
      local range = term.from
        and call('ZRANGEBYSCORE', key('idle', facet), term.from[1], term.from[2], 'LIMIT', skip, IDLE_LOOK)
        or call('ZRANGE', key('idle', facet), skip, skip + IDLE_LOOK - 1)
      for _, id in ipairs(range) do consider_far(facet, id) end
    end
  end
  return best and polls[best.id]
end

-- The offers ---------------------------------------------------------------------------------------------------------

local function queued(job, text, record, offer, avoid, card_number)
  local known = read_job(job)
  if known and not is_waiting(known) then
    local at, poll, miner = string.match(known, '^=(%d+)/?([^/]*)/?(.*)$')
    if at == offer and poll ~= '' then return propose(poll, miner, job) end
    if tonumber(at) >= tonumber(offer) then return end
    known = false
  end
  local poll = best_poll(record, avoid, card_number, tonumber(offer))
  if known and (poll or known ~= text) then
    remove(job, record_of_job(job))
    known = false
  end
  if not poll then
    set_avoid(job, avoid)
    if not known then write_job(job, text, record) end
    -- Again, too: whatever got lost of it is there again.
    return park(job, record)
  end
  set_avoid(job, '')
  match(poll.id, poll.miner, job, offer)
  poll.got = poll.got ~= '' and (poll.got .. ',' .. job) or job
  poll.slots = tonumber(poll.slots) - 1
  poll.rank = tonumber(poll.rank) + LOAD_STEP
  write_poll(poll)
  touched[poll.id] = poll.slots > 0 or nil
  if poll.slots <= 0 then return leave(poll) end
  if poll.where == 'near' then
    call('ZADD', prefix .. 'idle:near', 'XX', poll.rank, poll.id .. '|' .. poll.kind)
    return
  end
  call('ZADD', key('idle', 't|' .. record.type), 'XX', poll.rank, poll.id)
  if record.model ~= '' then
    call('ZADD', key('idle', 'm|' .. record.model), 'XX', poll.rank, poll.id)
    call('ZADD', key('idle', 'a|' .. record.type), 'XX', poll.rank, poll.id)
  end
end

local function withdrawn(job, offer)
  local record = is_waiting(read_job(job)) and record_of_job(job)
  write_job(job, '=' .. offer)
  set_avoid(job, '')
  if record then remove(job, record) end
end

local function described(id, types, models, places, card_numbers, memories, region, price, cuda)
  local name = prefix .. 'able:' .. id
  local fields = { 'types', types, 'models', models, 'region', region, 'price', price, 'cuda', cuda, 'card_numbers', card_numbers }
  for _, pair in ipairs(list(memories)) do
    local card, memory = string.match(pair, '^(.*)=(.*)$')
    fields[#fields + 1] = card == '' and 'memory' or 'card|' .. card
    fields[#fields + 1] = memory
  end
  call('HSET', name, unpack(fields))
  for _, type in ipairs(list(types)) do
    local waits = {}
    for _, model in ipairs(split(models, ',')) do
      for tier = tonumber(price) == 0 and 0 or 1, 1 do
        local start = tier .. '|' .. type .. '|' .. model
        waits[#waits + 1] = start
        waits[#waits + 1] = start .. '|'
      end
    end
    call('SADD', name .. ':waits', unpack(waits))
  end
  call('SADD', name .. ':places', unpack(list(places)))
  kinds[id] = nil
  keep_kind({ name = name })
end

local function opened(id, miner, account, slots, rank, offer, poll_epoch, kind_id)
  if tonumber(poll_epoch) < epoch then return end
  if tonumber(poll_epoch) > epoch then
    epoch = tonumber(poll_epoch)
    call('SET', prefix .. 'epoch', poll_epoch)
  end
  local known = read_poll(id)
  if known and known.offer == offer then
    for _, job in ipairs(list(known.got)) do propose(id, miner, job) end
    return
  end
  if known and tonumber(known.offer) > tonumber(offer) then return end
  local kind = kind_of(kind_id)
  if not kind then return propose(id, kind_id, '') end
  local seed = tonumber(offer) % 4294967296
  if call('TTL', kind.name) < KIND_LEFT_MIN then keep_kind(kind) end

  local poll = {
    id = id, miner = miner, account = account, kind = kind, offer = offer, epoch = poll_epoch, rank = rank, slots = '', where = '',
  }
  local got = choose(poll, tonumber(slots), seed)
  for _, job in ipairs(got) do match(id, miner, job, offer) end
  poll.kind, poll.got = kind_id, table.concat(got, ',')
  if is_idle(known) then
    if #got > 0 or known.kind ~= kind_id then leave(known) else poll.where = known.where end
  end
  -- With any, the miner gets these at once and comes back for more.
  if #got == 0 then
    poll.slots = slots
    wait(poll, kind)
  end
  write_poll(poll)
end

local function closed(id)
  local known = read_poll(id)
  leave(known)
  -- Whatever is still on its way for this poll comes too late.
  write_poll({
    id = id, offer = '9007199254740991', miner = '', account = '', epoch = '0', kind = '', rank = '0', got = '', slots = '', where = '',
  })
end

local at = 2
while at <= #ARGV do
  local op = ARGV[at]
  if op == 'Q' then
    local text = table.concat(ARGV, '|', at + 2, at + 12)
    queued(ARGV[at + 1], text, record_of(unpack(ARGV, at + 2, at + 12)), ARGV[at + 13], ARGV[at + 14], ARGV[at + 15])
    at = at + 16
  elseif op == 'W' then
    withdrawn(ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  elseif op == 'K' then
    described(unpack(ARGV, at + 1, at + 9))
    at = at + 10
  elseif op == 'O' then
    opened(unpack(ARGV, at + 1, at + 8))
    at = at + 9
  elseif op == 'C' then
    closed(ARGV[at + 1])
    at = at + 2
  else
    return redis.error_reply('unknown offer ' .. tostring(op))
  end
end

-- A poll that got anything is answered now, so it waits no longer.
for id in pairs(touched) do leave(polls[id]) end
for id in pairs(polls_changed) do
  local poll, values = polls[id], {}
  for at, field in ipairs(POLL_FIELDS) do values[at] = poll[field] end
  call('SET', prefix .. 'poll:' .. id, table.concat(values, '|'), 'EX', POLL_TTL)
end
for job in pairs(jobs_changed) do
  local text = jobs[job]
  if is_waiting(text) then call('SET', prefix .. 'job:' .. job, text)
  else call('SET', prefix .. 'job:' .. job, text, 'EX', MATCH_TTL) end
end
forget_emptied()
for tier in pairs(time_moved) do
  local time, tags = times[tier], {}
  call('SET', key('time', tier), tag_text(time))
  for client, tag in pairs(changed[tier]) do
    if tag > time then
      tags[#tags + 1] = tag_text(tag)
      tags[#tags + 1] = client
    end
  end
  if #tags > 0 then call('ZADD', key('served', tier), unpack(tags)) end
  -- Clients whose tag the clock has passed stand where a new one would: they are forgotten at each whole number.
  if math.floor(time) ~= math.floor(time_before[tier]) then call('ZREMRANGEBYSCORE', key('served', tier), '-inf', tag_text(time)) end
end
return matches
