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
--   jobs:<tier>      HASH job -> all that was said of it
--   models:<tier>|<type>, places:<tier>|<type>|<model>, cells:<group>
--                    SETs that lead to where something waits: the script starts from the miner's side. The place that
--                    asks for no card and no region is looked at without being in one
--   turns:<queue>    ZSET client -> start tag: the queue's clients in the order of their turns
--   own:<queue>|<client>  ZSET job -> 9 - priority: the order among a client's own jobs, then age
--   easy:<queue>     ZSET job -> what makes it easy to satisfy: the best payer, unpaid the smallest memory
--   served:<tier>, time:<tier>   ZSET client -> tag after its last job; the virtual time of service
--   row              HASH miner -> paid jobs it took in a row while unpaid ones waited
--   kind:<kind>, kind:<kind>:models, kind:<kind>:places   HASH, SET, SET
--   idle:<facet>     ZSET of polls that wait: t|type, a|type (any model), m|model, r|region, c|number of a card, by rank;
--                    price, memory and cuda, by the number
--   poll:<poll>      HASH: miner, account, rank, kind, epoch, offer, slots while it waits; got what it was given
--   match:<job>      offer/poll/miner of the match, or offer alone: the job was withdrawn
--   avoid            HASH job -> accounts that lost it, and a miner that could not run it just now
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
-- A kind that no poll named for so long is asked for again. Longer than a poll is kept, and no longer: one account can
-- make 500 kinds of 250 KB a minute, and what nobody polls with any more is not worth its memory.
local KIND_TTL = 90
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
local epoch = tonumber(call('GET', prefix .. 'epoch') or '0')
local has_avoided = call('EXISTS', prefix .. 'avoid') == 1
-- Types found without an idle poll, until one opens: a batch of a hundred jobs looks once.
local no_idle = {}
local kinds = {}
-- What was read of `served` and `time`, and what of it changed: written at the end.
local served = { [0] = {}, [1] = {} }
local changed = { [0] = {}, [1] = {} }
local times = {}

local function propose(poll, miner, job)
  matches[#matches + 1] = poll
  matches[#matches + 1] = miner
  matches[#matches + 1] = job
end

local function match(poll, miner, job, offer)
  propose(poll, miner, job)
  call('SET', key('match', job), offer .. '/' .. poll .. '/' .. miner, 'EX', MATCH_TTL)
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

local function keep(id)
  for _, part in ipairs({ '', ':models', ':places' }) do call('EXPIRE', key('kind', id) .. part, KIND_TTL) end
end

-- What is known of a kind; nil when nothing is.
local function kind_of(id)
  if kinds[id] == nil then
    local found = call('HMGET', key('kind', id), 'types', 'region', 'price', 'cuda', 'card_numbers', 'memory')
    if not found[1] then return nil end
    local kind = {
      id = id, types = {}, type_list = list(found[1]), region = found[2], price = tonumber(found[3]),
      cuda = tonumber(found[4]), card_numbers = found[5], memory = tonumber(found[6]), by_card = { [''] = tonumber(found[6]) },
      models = key('kind', id) .. ':models', places = key('kind', id) .. ':places',
    }
    for _, type in ipairs(kind.type_list) do kind.types[type] = true end
    keep(id)
    kinds[id] = kind
  end
  return kinds[id]
end

-- Memory of the largest card of this name; nil without such a card.
local function memory_of(kind, card)
  if kind.by_card[card] == nil then
    kind.by_card[card] = tonumber(call('HGET', key('kind', kind.id), 'card|' .. card) or nil) or false
  end
  return kind.by_card[card]
end

local FIELDS = '^' .. string.rep('([^|]*)|', 10) .. '([^|]*)$'
local function unpack_job(text)
  local client, tier, type, model, card, region, cell, price, memory, cuda, priority = string.match(text, FIELDS)
  return {
    client = client, tier = tonumber(tier), type = type, model = model, card = card, region = region, cell = cell,
    price = tonumber(price), memory = tonumber(memory), cuda = tonumber(cuda), priority = tonumber(priority),
    branch = tier .. '|' .. type, place = card .. '|' .. region,
  }
end

local function find_job(job)
  return call('HGET', prefix .. 'jobs:1', job) or call('HGET', prefix .. 'jobs:0', job)
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
  local has = call('SMISMEMBER', kind.models, record.model, '*')
  return has[1] == 1 or has[2] == 1
end

-- The waiting side ---------------------------------------------------------------------------------------------------

local function time_of(tier)
  if not times[tier] then times[tier] = tonumber(call('GET', key('time', tier)) or '0') end
  return times[tier]
end

local function served_tag(tier, client)
  local known = served[tier][client]
  if known == nil then
    known = tonumber(call('ZSCORE', key('served', tier), client) or '0')
    served[tier][client] = known
  end
  return known
end

local function model_keys(record)
  if record.model == '' then return { '' } end
  return { record.model, '*' }
end

local NO_PLACE = '|'

-- What the order `easy` goes by; nothing where all of a queue are alike.
local function ease_of(record)
  if record.tier == 1 then return record.price end
  if record.memory > 0 or record.cuda >= 0 then return -record.memory end
end

local function park(job, record)
  local tier, client = record.tier, record.client
  local ease = ease_of(record)
  for _, model in ipairs(model_keys(record)) do
    local group = record.branch .. '|' .. model .. '|' .. record.place
    local queue = group .. '|' .. record.cell
    call('ZADD', prefix .. 'own:' .. queue .. '|' .. client, 9 - record.priority, job)
    if ease then call('ZADD', prefix .. 'easy:' .. queue, ease, job) end
    local time = time_of(tier) + ARRIVAL
    local start = math.max(time, served_tag(tier, client))
    if call('ZADD', prefix .. 'turns:' .. queue, 'NX', tag_text(start), client) == 1 then
      times[tier] = time
      call('SADD', prefix .. 'cells:' .. group, record.cell)
      if record.place ~= NO_PLACE then
        call('SADD', prefix .. 'places:' .. record.branch .. '|' .. model, record.place)
      end
      call('SADD', prefix .. 'models:' .. record.branch, model)
    end
  end
end

-- Takes a job out of all its queues; what is empty then is forgotten.
local function remove(job, record)
  local tier, client = record.tier, record.client
  call('HDEL', prefix .. 'jobs:' .. tier, job)
  local ease = ease_of(record)
  for _, model in ipairs(model_keys(record)) do
    local start = record.branch .. '|' .. model
    local group = start .. '|' .. record.place
    local queue = group .. '|' .. record.cell
    local own, turns = prefix .. 'own:' .. queue .. '|' .. client, prefix .. 'turns:' .. queue
    call('ZREM', own, job)
    if ease then call('ZREM', prefix .. 'easy:' .. queue, job) end
    if call('EXISTS', own) == 0 then
      call('ZREM', turns, client)
      if call('EXISTS', turns) == 0 then
        call('SREM', prefix .. 'cells:' .. group, record.cell)
        if call('EXISTS', prefix .. 'cells:' .. group) == 0 then
          local places = prefix .. 'places:' .. start
          if record.place ~= NO_PLACE then call('SREM', places, record.place) end
          if call('EXISTS', places, prefix .. 'cells:' .. start .. '|' .. NO_PLACE) == 0 then
            call('SREM', prefix .. 'models:' .. record.branch, model)
          end
        end
      end
    end
  end
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

local function read_job(view, job) return unpack_job(call('HGET', prefix .. 'jobs:' .. view.tier, job)) end

local function suits(view, poll, job)
  if is_avoided(job, poll) then return false end
  return view.is_exact or fits_numbers(poll.kind, read_job(view, job))
end

-- The clients of a queue whose turn is next. A tag here is that of the time when the client began to wait; what it was
-- served elsewhere since then counts as soon as its turn comes up.
local function next_clients(view)
  local turns = key('turns', view.queue)
  local found
  for _ = 1, 4 do
    local range = call('ZRANGE', turns, 0, CLIENTS_LOOK - 1, 'WITHSCORES')
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
  table.sort(found, function(a, b)
    if a.start ~= b.start then return a.start < b.start end
    return a.client < b.client
  end)
  return found
end

local function easiest(view, poll, seed)
  local easy = key('easy', view.queue)
  local function look(from, count)
    for _, job in ipairs(call('ZREVRANGE', easy, from, from + count - 1)) do
      if suits(view, poll, job) then
        local record = read_job(view, job)
        return entry_of(job, record.client, time_of(view.tier), 9 - record.priority)
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
  if #clients == 0 then return nil end
  local easy = easiest(view, poll, seed)
  if easy or #clients < CLIENTS_LOOK then return easy end
  local further = call('ZRANGE', key('turns', view.queue), CLIENTS_LOOK, CLIENTS_LOOK_MORE - 1, 'WITHSCORES')
  for at = 1, #further, 2 do
    local entry = first_of(further[at], tonumber(further[at + 1]))
    if entry then return entry end
  end
end

-- The queues of a tier that have a job for this poll, with the first of each.
local function open_tier(poll, tier, seed)
  local kind, heads, looked = poll.kind, {}, 0
  local function look(group, place, cell)
    local view = view_of(kind, tier, group, string.match(place, '^(.-)|'), cell)
    if not view then return false end
    looked = looked + 1
    local entry = head(view, poll, seed)
    if entry then heads[#heads + 1] = { view = view, entry = entry } end
    return #heads >= HEADS_MAX or looked >= QUEUES_MAX
  end
  each_from(kind.type_list, seed, function(type)
    local branch = tier .. '|' .. type
    local models = call('SINTER', prefix .. 'models:' .. branch, kind.models)
    return each_from(models, seed, function(model)
      local start = branch .. '|' .. model
      local places = call('SINTER', prefix .. 'places:' .. start, kind.places)
      places[#places + 1] = NO_PLACE
      return each_from(places, seed, function(place)
        local group = start .. '|' .. place
        local cells = call('SRANDMEMBER', prefix .. 'cells:' .. group, CELLS_READ_MAX)
        return each_from(cells, seed, function(cell) return look(group, place, cell) end)
      end)
    end)
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
  local time = time_of(tier)
  local start = math.max(entry.start, served_tag(tier, client))
  -- What it waited counts for one job; after that it stands where others are.
  local tag = math.max(start + 1 / item.view.weight, time)
  remove(entry.job, read_job(item.view, entry.job))
  set_avoid(entry.job, '')
  served[tier][client] = tag
  changed[tier][client] = tag
  call('ZADD', key('turns', item.view.queue), 'XX', tag_text(tag), client)
  times[tier] = math.max(time + CREEP, start)
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
  local takes_unpaid = poll.kind.price == 0 and call('EXISTS', prefix .. 'jobs:0') == 1
  local paid = call('EXISTS', prefix .. 'jobs:1') == 1 and open_tier(poll, 1, seed) or {}
  if #paid == 0 and not takes_unpaid then return got end
  local unpaid
  local row_before = takes_unpaid and #paid > 0 and tonumber(call('HGET', prefix .. 'row', poll.miner) or '0') or 0
  local row = row_before
  local function take_unpaid()
    if not takes_unpaid then return nil end
    unpaid = unpaid or open_tier(poll, 0, seed)
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

local function each_facet(kind, rank, visit)
  local any = false
  for _, model in ipairs(call('SMEMBERS', kind.models)) do
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

-- Takes a poll out of all its facets; what it was given stays for a redelivered offer.
local function leave(poll)
  local found = call('HMGET', key('poll', poll), 'slots', 'kind')
  if not found[1] then return end
  call('HDEL', key('poll', poll), 'slots')
  local kind = kind_of(found[2])
  if kind then each_facet(kind, 0, function(facet) call('ZREM', key('idle', facet), poll) end) end
end

-- The idle polls to look at for a job: those of whatever it asks for that fewest have.
local function idle_terms(record, card_number)
  local all = { { facets = { 't|' .. record.type } } }
  local count = call('ZCARD', key('idle', 't|' .. record.type))
  if count == 0 then return nil, 0 end
  local best = all[1]
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
  local term, count = idle_terms(record, card_number)
  if not term then
    no_idle[record.type] = true
    return nil
  end
  local best
  local function consider(facet, poll)
    local found = call('HMGET', key('poll', poll), 'slots', 'epoch', 'kind', 'account', 'miner', 'rank')
    local kind = found[1] and tonumber(found[2]) >= epoch and kind_of(found[3])
    if not kind then
      call('ZREM', key('idle', facet), poll)
    elseif (avoid == '' or not is_named(avoid, found[4], found[5])) and fits(kind, record) then
      local rank = tonumber(found[6])
      if not best or rank < best.rank or (rank == best.rank and poll < best.id) then
        best = { id = poll, miner = found[5], slots = tonumber(found[1]), rank = rank }
      end
      return true
    end
  end
  for _, facet in ipairs(term.facets) do
    local idle = key('idle', facet)
    local range
    if term.from then
      range = call('ZRANGEBYSCORE', idle, term.from[1], term.from[2], 'LIMIT', 0, IDLE_LOOK)
      for _, poll in ipairs(range) do consider(facet, poll) end
    else
      -- In the order of rank: the first that fits is the best of this facet.
      for _, poll in ipairs(call('ZRANGE', idle, 0, IDLE_LOOK - 1)) do
        if consider(facet, poll) then break end
      end
    end
  end
  if not best and count > IDLE_LOOK then
    for _, facet in ipairs(term.facets) do
      local skip = seed % math.max(1, count)
      local range = term.from
        and call('ZRANGEBYSCORE', key('idle', facet), term.from[1], term.from[2], 'LIMIT', skip, IDLE_LOOK)
        or call('ZRANGE', key('idle', facet), skip, skip + IDLE_LOOK - 1)
      for _, poll in ipairs(range) do consider(facet, poll) end
    end
  end
  return best
end

-- The offers ---------------------------------------------------------------------------------------------------------

local function queued(job, text, record, offer, avoid, card_number)
  local earlier = call('GET', key('match', job))
  if earlier then
    local at, poll, miner = string.match(earlier, '^(%d+)/?([^/]*)/?(.*)$')
    if at == offer and poll ~= '' then return propose(poll, miner, job) end
    if tonumber(at) >= tonumber(offer) then return end
    call('DEL', key('match', job))
  end
  local known = find_job(job)
  local poll = best_poll(record, avoid, card_number, tonumber(offer))
  if known and (poll or known ~= text) then
    remove(job, unpack_job(known))
    known = false
  end
  if not poll then
    set_avoid(job, avoid)
    if not known then call('HSET', prefix .. 'jobs:' .. record.tier, job, text) end
    -- Again, too: whatever got lost of it is there again.
    return park(job, record)
  end
  set_avoid(job, '')
  match(poll.id, poll.miner, job, offer)
  local poll_key = key('poll', poll.id)
  local got = call('HGET', poll_key, 'got')
  local rank = poll.rank + LOAD_STEP
  call('HSET', poll_key, 'got', got and got ~= '' and (got .. ',' .. job) or job, 'slots', poll.slots - 1, 'rank', rank)
  touched[poll.id] = poll.slots > 1 or nil
  if poll.slots <= 1 then return leave(poll.id) end
  call('ZADD', key('idle', 't|' .. record.type), 'XX', rank, poll.id)
  if record.model ~= '' then
    call('ZADD', key('idle', 'm|' .. record.model), 'XX', rank, poll.id)
    call('ZADD', key('idle', 'a|' .. record.type), 'XX', rank, poll.id)
  end
end

local function withdrawn(job, offer)
  call('SET', key('match', job), offer, 'EX', MATCH_TTL)
  set_avoid(job, '')
  local known = find_job(job)
  if known then remove(job, unpack_job(known)) end
end

local function described(id, types, models, places, card_numbers, memories, region, price, cuda)
  local fields = { 'types', types, 'region', region, 'price', price, 'cuda', cuda, 'card_numbers', card_numbers }
  for _, pair in ipairs(list(memories)) do
    local card, memory = string.match(pair, '^(.*)=(.*)$')
    fields[#fields + 1] = card == '' and 'memory' or 'card|' .. card
    fields[#fields + 1] = memory
  end
  call('HSET', key('kind', id), unpack(fields))
  call('SADD', key('kind', id) .. ':models', unpack(split(models, ',')))
  call('SADD', key('kind', id) .. ':places', unpack(list(places)))
  -- Also where its poll has ended already.
  keep(id)
  kinds[id] = nil
end

local function opened(id, miner, account, slots, rank, offer, poll_epoch, kind_id)
  if tonumber(poll_epoch) < epoch then return end
  if tonumber(poll_epoch) > epoch then
    epoch = tonumber(poll_epoch)
    call('SET', prefix .. 'epoch', poll_epoch)
  end
  local record = key('poll', id)
  local known = call('HMGET', record, 'offer', 'got', 'slots', 'kind')
  if known[1] == offer then
    for _, job in ipairs(list(known[2])) do propose(id, miner, job) end
    return
  end
  if known[1] and tonumber(known[1]) > tonumber(offer) then return end
  local kind = kind_of(kind_id)
  if not kind then return propose(id, kind_id, '') end

  local poll = { id = id, miner = miner, account = account, kind = kind }
  local got = choose(poll, tonumber(slots), tonumber(offer) % 4294967296)
  for _, job in ipairs(got) do match(id, miner, job, offer) end
  if known[3] and (#got > 0 or known[4] ~= kind_id) then leave(id) end
  call('HSET', record, 'offer', offer, 'miner', miner, 'account', account, 'epoch', poll_epoch, 'kind', kind_id,
    'rank', rank, 'got', table.concat(got, ','))
  -- With any, the miner gets these at once and comes back for more.
  if #got == 0 then
    call('HSET', record, 'slots', slots)
    each_facet(kind, rank, function(facet, score) call('ZADD', prefix .. 'idle:' .. facet, score, id) end)
    no_idle = {}
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
    local text = table.concat(ARGV, '|', at + 2, at + 12)
    queued(ARGV[at + 1], text, unpack_job(text), ARGV[at + 13], ARGV[at + 14], ARGV[at + 15])
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
for poll in pairs(touched) do leave(poll) end
for tier, time in pairs(times) do
  call('SET', key('time', tier), tag_text(time))
  local any = false
  for client, tag in pairs(changed[tier]) do
    any = true
    if tag > time then call('ZADD', key('served', tier), tag_text(tag), client) end
  end
  -- Clients whose tag the clock has passed stand where a new one would.
  if any then call('ZREMRANGEBYSCORE', key('served', tier), '-inf', tag_text(time)) end
end
return matches
