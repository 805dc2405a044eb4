-- The index of waiting jobs and idle polls. One call runs a batch of offers in order and returns the matches it made,
-- flat: poll, miner, job, poll, miner, job, ... A poll whose kind is not known is returned with an empty job.
-- Nothing in it looks at more than a bounded number of entries, whatever waits.
--
-- ARGV[1] is the prefix of all keys; then, one after the other:
--   Q job client urgency price memory cuda queue offer avoid card_number
--                                                           a job may run (avoid: accounts and miners, comma-separated, or empty)
--   W job offer                                             a job left the queue
--   K kind types models places card_numbers memories wheres price cuda     what miners of this kind can do
--   O poll miner account slots rank offer epoch kind        a poll is open
--   C poll                                                  a poll ended
-- Lists are comma-separated. Urgency is 9 - priority. A poll is named by its id; where several processes of jobs hold polls,
-- `@` and the place of its own follow.
--
-- A group is what can only be equal or not: tier|type|model|card|where. Tier 1 pays, tier 0 does not. Where is a region,
-- maybe with `=` and a miner behind it: equal miners are one kind, and one that jobs name is a kind of its own. Numbers are cut
-- into classes: a group has one queue for each combination of classes in which something waits, its cells. A queue's
-- name is group|cell. A job with a model stands in its queue and in the same of the model `*`, where miners look that
-- take any. Classes only save looking: where one lies across a miner's number, each job in it is compared with the
-- number itself.
--
-- Keys, each after the prefix:
--   job:<job>        what was said of a job that waits; after that, for a while, `=offer/poll/miner` of its match, or
--                    `=offer` alone: it was withdrawn
--   waits            SET of tier|type|model where something waits, and of tier|type|model| where something waits that
--                    asks for a card, a region or a miner
--   places:<tier>|<type>|<model>, cells:<group>
--                    SETs that lead on from there: the script starts from the miner's side
--   turns:<queue>    ZSET client -> start tag: the queue's clients in the order of their turns
--   own:<queue>|<client>  ZSET job -> urgency: the order among a client's own jobs, then age
--   easy:<queue>     ZSET job -> what makes it easy to satisfy: the best payer, unpaid the smallest memory
--   served:<tier>, time:<tier>   ZSET client -> tag after its last job; the virtual time of service
--   row              HASH miner -> paid jobs it took in a row while unpaid ones waited
--   able:<kind>, able:<kind>:waits, able:<kind>:places   HASH of a kind of miner; SET of what of `waits` is for it; SET
--   idle:near        ZSET of poll|kind by rank: so many polls that wait as a job may look at. Most often it is all
--   idle:<facet>     ZSETs of the polls beyond those: t|type, a|type (any model), m|model, r|where, c|number of a card,
--                    by rank; price, memory and cuda, by the number
--   poll:<poll>      what is known of a poll, see POLL_FIELDS
--   epoch            when the one process of jobs started; polls of one before it count no more
--   epoch:<place>    where there are several: when the one of this place started. It goes soon after its process does
--   avoid            HASH job -> accounts that lost it, and a miner that could not run it just now
--
-- A command costs as much as a hundred lines of Lua, a new string as much as ten. So what a call reads of jobs, polls,
-- kinds and queues it keeps until its end, and writes it once; and tables stand where a name would be joined again.
local prefix = ARGV[1]
local call = redis.call

-- Tags and times are whole numbers, which pass through Redis unchanged: millionths of a job.
local TURN = 1000000
-- Each job taken moves the clock at least so far: clients that come new for ever stand where the clock is, and those
-- that have waited since before must get in front of them.
local CREEP = 1000
-- Each client that begins to wait moves it so far: who comes first stands first.
local ARRIVAL = 1
-- A client that pays most is served so many times as often as one that pays least: it is preferred, and nobody starves.
local WEIGHT_MAX = 4
-- Prices up to 10^15 minor units have this many classes.
local PRICE_CLASSES = 16
-- Idle polls looked at for a job: the best ranked, then as many from anywhere.
local IDLE_LOOK = 32
-- The reading of idle:near in a call that asks for ranks too, and so is the last.
local RANKS_READ_AT = 3
-- Seconds. A poll lives 25 at most; a queue entry whose worker died is taken up again within 20.
local POLL_TTL = '60'
local MATCH_TTL = '60'
-- A kind that no poll named for so long is asked for again. Not much longer than a poll is kept: an account may
-- change 32 MB of what its miners list within it (services/miners/src/attributes.ts), and what nobody polls with any
-- more is not worth its memory.
local KIND_TTL = '150'
-- A poll that finds less than this left renews it: its kind outlives it, and most polls write nothing.
local KIND_LEFT_MIN = 90
-- One more job in hand, in the terms of a poll's rank: the batch spreads over equals instead of filling the first.
local LOAD_STEP = 0.01
-- Arguments of each offer, its name among them.
local ARGUMENTS = { Q = 11, W = 3, K = 10, O = 9, C = 2 }

-- What of jobs, polls and the clock was read at once, before the first offer: key -> text, or false.
local ahead = {}
local epoch
-- The same of places, as text; false: nobody is there.
local epochs = {}
local has_avoided = call('EXISTS', prefix .. 'avoid') == 1
local matches = {}
local touched = {}
-- Types found without an idle poll, until one opens: a batch of a hundred jobs looks once.
local no_idle = {}
local kinds = {}
-- What was read of `served` and `time`, and what of it changed: written at the end.
local served = { [0] = {}, [1] = {} }
local changed = { [0] = {}, [1] = {} }
local times, times_before = {}, {}
-- What was read of jobs and polls, and what of it changed: written at the end.
local jobs, jobs_changed = {}, {}
local polls, polls_changed = {}, {}
-- Queues by their names; those that may be empty, which are taken out of their sets at the end; those with turns to
-- write.
local queues = {}
local emptied = {}
local turned = {}
-- What was read of `cells`, and members of `waits` of which all queues were found empty.
local cells_read = {}
local has_nothing = {}
-- What came to `waits` in this call.
local waits_added = {}

-- Slots of the polls that are still to come in this call.
local slots_to_come = 0

-- A job that found no idle poll, until the next offer: where nothing else waits, a poll takes it and the index is spared.
local held

local function key(name, id) return prefix .. name .. ':' .. id end

local function split(text, separator)
  local parts = {}
  for part in string.gmatch((text or '') .. separator, '(.-)' .. separator) do parts[#parts + 1] = part end
  return parts
end
local function list(text)
  if not text or text == '' then return {} end
  return split(text, ',')
end

-- False: there is no such text.
local function read(name)
  local text = ahead[name]
  if text == nil then text = call('GET', name) end
  return text
end

local function propose(poll, miner, job)
  local count = #matches
  matches[count + 1], matches[count + 2], matches[count + 3] = poll, miner, job
end

-- Writes what came into a sorted set and what left it: member -> its score, or false.
local function write_members(name, changes)
  local member = next(changes)
  -- As most often.
  if not next(changes, member) then
    if changes[member] then call('ZADD', name, changes[member], member) else call('ZREM', name, member) end
    return
  end
  local added, removed = {}, {}
  for member, score in pairs(changes) do
    if score then
      added[#added + 1] = score
      added[#added + 1] = member
    else
      removed[#removed + 1] = member
    end
  end
  -- What Lua can pass on is limited.
  for at = 1, #added, 1000 do call('ZADD', name, unpack(added, at, math.min(at + 999, #added))) end
  for at = 1, #removed, 1000 do call('ZREM', name, unpack(removed, at, math.min(at + 999, #removed))) end
end

local NO_PLACE = '|'

-- A queue by its name, with what of its names is needed most.
local QUEUE = '^(((%d)|([^|]*)|([^|]*))|(([^|]*)|([^|]*)))|(.*)$'
local function queue_of(name)
  local queue = queues[name]
  if queue then return queue end
  local group, start, tier, type, model, place, card, where, cell = string.match(name, QUEUE)
  queue = {
    name = name, group = group, start = start, tier = tonumber(tier), type = type, model = model, place = place,
    card = card, where = where, cell = cell, turns = prefix .. 'turns:' .. name,
    -- The jobs of each client, see line_of; clients whose turns come next, see next_client; flags.
    lines = {}, window = false, is_registered = false, is_empty = false, any = false,
  }
  queues[name] = queue
  -- Where miners look that take any model.
  if model ~= '' and model ~= '*' then
    queue.any = queue_of(tier .. '|' .. type .. '|*|' .. place .. '|' .. cell)
  end
  return queue
end

-- What is asked of a miner: the numbers as they were sent, as text.
local function record_of(client, urgency, price, memory, cuda, queue)
  return { client = client, urgency = urgency, price = price, memory = memory, cuda = cuda, queue = queue_of(queue) }
end

local function text_of(record)
  return record.client .. '|' .. record.urgency .. '|' .. record.price .. '|' .. record.memory .. '|' .. record.cuda
    .. '|' .. record.queue.name
end

local MATCHED = 61 -- the character =

-- The record of a job that waits; the text of one that does no more; false: nothing is known of it.
local function read_job(job)
  local known = jobs[job]
  if known == nil then
    known = read(prefix .. 'job:' .. job)
    if known and string.byte(known) ~= MATCHED then
      known = record_of(string.match(known, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$'))
    end
    jobs[job] = known
  end
  return known
end

local function is_waiting(known) return type(known) == 'table' end

local function write_job(job, known)
  jobs[job] = known
  jobs_changed[job] = true
end

local function match(poll, miner, job, offer)
  propose(poll, miner, job)
  write_job(job, '=' .. offer .. '/' .. poll .. '/' .. miner)
end

-- Ids are all different, so one list holds those of accounts and of miners.
local function is_named(avoid, account, miner)
  return string.find(avoid, account, 1, true) or string.find(avoid, miner, 1, true)
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
    -- `region` holds all its wheres: a release before wrote, and reads, the one that there was.
    local found = call('HMGET', name, 'types', 'region', 'price', 'cuda', 'card_numbers', 'memory')
    if not found[1] then return nil end
    kinds[id] = {
      id = id, name = name, types = found[1], wheres = found[2], price = tonumber(found[3]), cuda = tonumber(found[4]),
      card_numbers = found[5], memory = tonumber(found[6]), by_card = { [''] = tonumber(found[6]) },
      waits = name .. ':waits', places = name .. ':places',
      -- What was worked out in this call: whether it can take from a queue at all; queues as it sees them.
      suits = {}, views = {}, starts = nil, seen = 0, is_kept = false,
    }
  end
  return kinds[id]
end

-- Whether an item stands in a comma-separated list.
local function is_in(items, item)
  return items == item or string.find(',' .. items .. ',', ',' .. item .. ',', 1, true) ~= nil
end
local function has_type(kind, type) return is_in(kind.types, type) end

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

-- The decision itself, with the numbers that were sent. `kind` stands where the job stands, so the rest is equal.
local function fits_numbers(kind, record)
  local memory = memory_of(kind, record.queue.card)
  return memory and tonumber(record.price) >= kind.price and tonumber(record.memory) <= memory
    and tonumber(record.cuda) <= kind.cuda
end

-- What can only be equal or not.
local function fits_queue(kind, queue)
  if queue.where ~= '' and not is_in(kind.wheres, queue.where) then return false end
  if not has_type(kind, queue.type) then return false end
  if queue.model == '' then return true end
  -- Tier 1 is in the set of every kind.
  local start = '1|' .. queue.type .. '|'
  local found = call('SMISMEMBER', kind.waits, start .. queue.model, start .. '*')
  return found[1] == 1 or found[2] == 1
end

local function fits(kind, record)
  local queue = record.queue
  local suits = kind.suits[queue]
  if suits == nil then
    suits = fits_queue(kind, queue)
    kind.suits[queue] = suits
  end
  return suits and fits_numbers(kind, record)
end

local function served_tag(tier, client)
  local tags = served[tier]
  local tag = tags[client]
  if tag == nil then
    tag = tonumber(call('ZSCORE', prefix .. 'served:' .. tier, client) or '0')
    tags[client] = tag
  end
  return tag
end

-- Counts a job for a client whose turn began at `start`. @returns its tag
local function serve(tier, client, start, step)
  local time = times[tier]
  start = math.max(start, served_tag(tier, client))
  -- What it waited counts for one job; after that it stands where others are.
  local tag = math.max(start + step, time)
  served[tier][client], changed[tier][client] = tag, tag
  times[tier] = math.max(time + CREEP, start)
  return tag
end

-- How far one job moves its client: the less the more it pays, in even steps to WEIGHT_MAX.
local function step_of(pays_class)
  return math.floor(TURN / (1 + (WEIGHT_MAX - 1) * tonumber(pays_class) / PRICE_CLASSES))
end

-- The job held back; nil where it is not for this poll.
local function take_held(poll)
  local record = jobs[held]
  if not fits(poll.kind, record) then return nil end
  local tier, client, job = record.queue.tier, record.client, held
  times[tier] = times[tier] + ARRIVAL
  serve(tier, client, times[tier], step_of(string.match(record.queue.cell, '^%d+')))
  held = nil
  return job
end

-- The waiting side ---------------------------------------------------------------------------------------------------
-- Waiting.lua, built when something is parked or found waiting: to bind a function in Lua costs a third of a command, each
-- time the script is called, and most calls of an idle system need none of these.
local function build_waiting_side()
  WAITING_SIDE_IS_PUT_HERE
end

local built
local function waiting_side()
  built = built or build_waiting_side()
  return built
end

local function park_held()
  local job = held
  held = nil
  if job then waiting_side().park(job, jobs[job]) end
end

-- What of `waits` is for a kind, paid and unpaid apart. In a call it only grows.
local function starts_of(kind)
  local starts, new = kind.starts, {}
  if not starts then
    starts = { paid = {}, unpaid = {} }
    kind.starts = starts
    new = call('SINTER', prefix .. 'waits', kind.waits)
  elseif kind.seen < #waits_added then
    for at, is_for_it in ipairs(call('SMISMEMBER', kind.waits, unpack(waits_added, kind.seen + 1))) do
      if is_for_it == 1 then new[#new + 1] = waits_added[kind.seen + at] end
    end
  end
  kind.seen = #waits_added
  for _, start in ipairs(new) do
    local list = string.byte(start) == 49 and starts.paid or starts.unpaid
    list[#list + 1] = start
  end
  return starts
end

-- Takes up to `slots` jobs for a poll out of what waits.
local function choose(poll, slots, seed)
  local starts = starts_of(poll.kind)
  if #starts.paid + #starts.unpaid == 0 then return { held and take_held(poll) } end
  if held then
    park_held()
    starts = starts_of(poll.kind)
  end
  return waiting_side().choose_from(poll, starts, slots, seed)
end

-- The idle side ------------------------------------------------------------------------------------------------------

-- A poll as text: these in their order. `slots` and where it waits (`near` or `far`) while it waits, `got` what it was given.
local POLL_FIELDS = { 'offer', 'miner', 'account', 'epoch', 'kind', 'rank', 'got', 'slots', 'where' }
local POLL = '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$'

-- False: nothing is known of it.
local function read_poll(id)
  local poll = polls[id]
  if poll == nil then
    local text = read(prefix .. 'poll:' .. id)
    poll = false
    if text then
      poll = { id = id }
      for at, value in ipairs({ string.match(text, POLL) }) do poll[POLL_FIELDS[at]] = value end
    end
    polls[id] = poll
  end
  return poll
end

local function poll_text(poll)
  return poll.offer .. '|' .. poll.miner .. '|' .. poll.account .. '|' .. poll.epoch .. '|' .. poll.kind .. '|' .. poll.rank
    .. '|' .. poll.got .. '|' .. poll.slots .. '|' .. poll.where
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
  for _, type in ipairs(list(kind.types)) do
    visit('t|' .. type, rank)
    if any then visit('a|' .. type, rank) end
  end
  for _, where in ipairs(list(kind.wheres)) do visit('r|' .. where, rank) end
  for _, word in ipairs(list(kind.card_numbers)) do visit('c|' .. word, rank) end
  visit('price', kind.price)
  if kind.memory > 0 then visit('memory', kind.memory) end
  if kind.cuda >= 0 then visit('cuda', kind.cuda) end
end

local function is_idle(poll) return poll and poll.slots ~= '' end

-- Whether the process lives that holds a poll. Places change hands between machines, whose clocks need not agree: so there
-- another epoch is another process, whichever is greater.
local function is_held(id, poll_epoch)
  local place = string.match(id, '@(%d+)$')
  if not place then return tonumber(poll_epoch) >= epoch end
  if epochs[place] == nil then epochs[place] = call('GET', prefix .. 'epoch:' .. place) end
  return epochs[place] == poll_epoch
end

-- What is known of idle:near, in one table because each local that functions share makes all of them dearer to bind: its
-- members in their order, until one comes whose place is not known; their ranks, once it was read often; how many there are;
-- what is not written: member -> rank, or false. And types of which there is no poll beyond it.
local near = { order = false, ranks = false, size = false, reads = 0, changes = false, no_far = {} }

local function write_near()
  local changes = near.changes
  if not changes then return end
  near.changes = false
  write_members(prefix .. 'idle:near', changes)
end

-- Ranks as text cost Redis more than the command itself, so they are read only where a call comes back again and again.
local function read_near()
  local order = near.order
  if order then return order end
  write_near()
  near.reads = near.reads + 1
  if near.reads < RANKS_READ_AT then
    order = call('ZRANGE', prefix .. 'idle:near', 0, -1)
  else
    local ranks = {}
    order = {}
    local found = call('ZRANGE', prefix .. 'idle:near', 0, -1, 'WITHSCORES')
    for at = 1, #found, 2 do order[#order + 1], ranks[found[at]] = found[at], tonumber(found[at + 1]) end
    near.ranks = ranks
  end
  near.order, near.size = order, #order
  return order
end

-- Gives a member of `near` its rank, which is written as it came, or takes it out where that is false.
local function set_near(member, rank)
  near.changes = near.changes or {}
  near.changes[member] = rank
  local order, ranks = near.order, near.ranks
  if rank and not ranks then
    near.order = false
    return
  end
  if not order then return end
  for at = 1, #order do
    if order[at] == member then table.remove(order, at) break end
  end
  if not rank then return end
  rank = tonumber(rank)
  ranks[member] = rank
  local at = #order + 1
  while at > 1 do
    local before = order[at - 1]
    if rank > ranks[before] or (rank == ranks[before] and member > before) then break end
    at = at - 1
  end
  table.insert(order, at, member)
end

-- From now on it waits. While few do, one set holds them all and a job looks at each; those beyond it are found by facets.
local function wait(poll, kind)
  if poll.where == '' and not near.size then
    write_near()
    near.size = call('ZCARD', prefix .. 'idle:near')
  end
  if poll.where == 'near' or (poll.where == '' and near.size < IDLE_LOOK) then
    if poll.where == '' then near.size = near.size + 1 end
    poll.where = 'near'
    set_near(poll.id .. '|' .. kind.id, poll.rank)
  else
    poll.where = 'far'
    -- Its facets are taken out by what is known of its kind.
    keep_kind(kind)
    each_facet(kind, poll.rank, function(facet, score) call('ZADD', prefix .. 'idle:' .. facet, score, poll.id) end)
  end
  no_idle, near.no_far = {}, {}
end

-- Takes a poll out of where it waits; what it was given stays for a redelivered offer.
local function leave(poll)
  if not is_idle(poll) then return end
  if poll.where == 'near' then
    set_near(poll.id .. '|' .. poll.kind, false)
    if near.size then near.size = near.size - 1 end
  else
    local kind = kind_of(poll.kind)
    if kind then each_facet(kind, 0, function(facet) call('ZREM', prefix .. 'idle:' .. facet, poll.id) end) end
  end
  poll.slots, poll.where = '', ''
  write_poll(poll)
end

-- The idle polls to look at for a job: those of whatever it asks for that fewest have.
local function idle_terms(record, card_number)
  local queue, memory, cuda = record.queue, tonumber(record.memory), tonumber(record.cuda)
  if near.no_far[queue.type] then return nil, 0 end
  local count = call('ZCARD', key('idle', 't|' .. queue.type))
  if count == 0 then
    near.no_far[queue.type] = true
    return nil, 0
  end
  local best = { facets = { 't|' .. queue.type } }
  if count <= IDLE_LOOK then return best, count end
  local function consider(facets, from)
    local sum = 0
    for _, facet in ipairs(facets) do
      sum = sum + (from and call('ZCOUNT', key('idle', facet), from[1], from[2]) or call('ZCARD', key('idle', facet)))
    end
    if sum < count then best, count = { facets = facets, from = from }, sum end
  end
  if queue.model ~= '' then consider({ 'm|' .. queue.model, 'a|' .. queue.type }) end
  if queue.where ~= '' then consider({ 'r|' .. queue.where }) end
  if card_number ~= '' then consider({ 'c|' .. card_number }) end
  consider({ 'price' }, { '-inf', record.price })
  if memory > 0 then consider({ 'memory' }, { memory, '+inf' }) end
  if cuda >= 0 then consider({ 'cuda' }, { cuda, '+inf' }) end
  return best, count
end

-- The best idle poll for a job among those looked at.
local function best_poll(record, avoid, card_number, seed)
  local type = record.queue.type
  if no_idle[type] then return nil end
  local term, count = idle_terms(record, card_number)
  if #read_near() == 0 and not term then
    no_idle[type] = true
    return nil
  end
  local best
  local is_type_seen = term ~= nil
  -- @returns whether it fits; nil when it waits no more
  local function consider(id, kind_id)
    local poll = read_poll(id)
    local kind = is_idle(poll) and is_held(id, poll.epoch) and (not kind_id or kind_id == poll.kind) and kind_of(poll.kind)
    if not kind then return nil end
    if (avoid ~= '' and is_named(avoid, poll.account, poll.miner)) or not fits(kind, record) then return false end
    local rank = tonumber(poll.rank)
    if not best or rank < best.rank or (rank == best.rank and id < best.id) then best = { id = id, rank = rank } end
    return true
  end
  -- In the order of rank: the first that fits is the best here.
  local gone = {}
  for _, member in ipairs(near.order) do
    local id, kind_id = string.match(member, '^(.-)|(.*)$')
    local kind = kind_of(kind_id)
    is_type_seen = is_type_seen or not kind or has_type(kind, type)
    if not kind or fits(kind, record) then
      local is_fit = consider(id, kind_id)
      if is_fit == nil then gone[#gone + 1] = member end
      if is_fit then break end
    end
  end
  for _, member in ipairs(gone) do
    set_near(member, false)
    near.size = near.size - 1
  end
  if not is_type_seen then no_idle[type] = true end
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

local function queued(job, record, offer, avoid, card_number)
  local known = read_job(job)
  if known and not is_waiting(known) then
    local at, poll, miner = string.match(known, '^=(%d+)/?([^/]*)/?(.*)$')
    if at == offer and poll ~= '' then return propose(poll, miner, job) end
    if tonumber(at) >= tonumber(offer) then return end
    known = false
  end
  local poll = best_poll(record, avoid, card_number, tonumber(offer))
  if known and (poll or text_of(known) ~= text_of(record)) then
    waiting_side().remove(job, known)
    known = false
  end
  if not poll then
    set_avoid(job, avoid)
    if not known then
      write_job(job, record)
      if avoid == '' then
        held = job
        return
      end
    end
    -- Again, too: whatever got lost of it is there again.
    return waiting_side().park(job, record)
  end
  set_avoid(job, '')
  match(poll.id, poll.miner, job, offer)
  poll.got = poll.got ~= '' and (poll.got .. ',' .. job) or job
  poll.slots = tonumber(poll.slots) - 1
  poll.rank = tonumber(poll.rank) + LOAD_STEP
  write_poll(poll)
  touched[poll.id] = poll.slots > 0 or nil
  if poll.slots <= 0 then return leave(poll) end
  -- It leaves at the end of the call, see `touched`: nobody else sees its place among the others.
  if poll.where == 'near' then return set_near(poll.id .. '|' .. poll.kind, poll.rank) end
  local queue = record.queue
  call('ZADD', key('idle', 't|' .. queue.type), 'XX', poll.rank, poll.id)
  if queue.model ~= '' then
    call('ZADD', key('idle', 'm|' .. queue.model), 'XX', poll.rank, poll.id)
    call('ZADD', key('idle', 'a|' .. queue.type), 'XX', poll.rank, poll.id)
  end
end

local function withdrawn(job, offer)
  local known = read_job(job)
  write_job(job, '=' .. offer)
  set_avoid(job, '')
  if is_waiting(known) then waiting_side().remove(job, known) end
end

local function described(id, types, models, places, card_numbers, memories, wheres, price, cuda)
  local name = prefix .. 'able:' .. id
  local fields = { 'types', types, 'models', models, 'region', wheres, 'price', price, 'cuda', cuda, 'card_numbers', card_numbers }
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
  slots_to_come = slots_to_come - tonumber(slots)
  if not is_held(id, poll_epoch) then return end
  if tonumber(poll_epoch) > epoch and not string.find(id, '@', 1, true) then
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
  if not kind.is_kept then
    kind.is_kept = true
    if call('TTL', kind.name) < KIND_LEFT_MIN then keep_kind(kind) end
  end

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

-- What is said of jobs and polls is asked for at once.
do
  local names = { prefix .. 'epoch', prefix .. 'time:0', prefix .. 'time:1' }
  local at = 2
  while at <= #ARGV do
    local op = ARGV[at]
    if op == 'O' then slots_to_come = slots_to_come + tonumber(ARGV[at + 4]) end
    if op == 'Q' or op == 'W' then names[#names + 1] = prefix .. 'job:' .. ARGV[at + 1]
    elseif op == 'O' or op == 'C' then names[#names + 1] = prefix .. 'poll:' .. ARGV[at + 1] end
    at = at + (ARGUMENTS[op] or #ARGV)
  end
  -- So many at once: what Lua can pass on is limited.
  for from = 1, #names, 1000 do
    local found = call('MGET', unpack(names, from, math.min(from + 999, #names)))
    for i = 1, #found do ahead[names[from + i - 1]] = found[i] end
  end
  epoch = tonumber(ahead[names[1]] or '0')
  for tier = 0, 1 do
    times[tier] = tonumber(ahead[names[2 + tier]] or '0')
    times_before[tier] = times[tier]
  end
end
local at = 2
while at <= #ARGV do
  local op, id = ARGV[at], ARGV[at + 1]
  if op ~= 'O' then park_held() end
  if op == 'Q' then
    queued(id, record_of(unpack(ARGV, at + 2, at + 7)), ARGV[at + 8], ARGV[at + 9], ARGV[at + 10])
  elseif op == 'O' then
    opened(unpack(ARGV, at + 1, at + 8))
  elseif op == 'W' then
    withdrawn(id, ARGV[at + 2])
  elseif op == 'K' then
    described(unpack(ARGV, at + 1, at + 9))
  elseif op == 'C' then
    closed(id)
  else
    return redis.error_reply('unknown offer ' .. tostring(op))
  end
  at = at + ARGUMENTS[op]
end

park_held()

-- A poll that got anything is answered now, so it waits no longer.
for id in pairs(touched) do leave(polls[id]) end
write_near()
for id in pairs(polls_changed) do call('SET', prefix .. 'poll:' .. id, poll_text(polls[id]), 'EX', POLL_TTL) end
local waiting = {}
for job in pairs(jobs_changed) do
  local known = jobs[job]
  if is_waiting(known) then
    waiting[#waiting + 1] = prefix .. 'job:' .. job
    waiting[#waiting + 1] = text_of(known)
  else
    call('SET', prefix .. 'job:' .. job, known, 'EX', MATCH_TTL)
  end
end
for at = 1, #waiting, 1000 do call('MSET', unpack(waiting, at, math.min(at + 999, #waiting))) end
if built then
  built.write_all_changes()
  for queue in pairs(turned) do built.write_turns(queue) end
  built.forget_emptied()
end
for tier = 0, 1 do
  local time, before = times[tier], times_before[tier]
  if time ~= before then
    call('SET', prefix .. 'time:' .. tier, time)
    local tags = {}
    for client, tag in pairs(changed[tier]) do
      if tag > time then
        tags[#tags + 1] = tag
        tags[#tags + 1] = client
      end
    end
    local name = prefix .. 'served:' .. tier
    if #tags > 0 then call('ZADD', name, unpack(tags)) end
    -- Clients whose tag the clock has passed stand where a new one would: they are forgotten after each whole turn.
    if math.floor(time / TURN) ~= math.floor(before / TURN) then call('ZREMRANGEBYSCORE', name, '-inf', time) end
  end
end
return matches
