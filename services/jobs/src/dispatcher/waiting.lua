-- The waiting side of the index, a part of pool.lua, which puts it into a function: parks jobs, takes them out again, and
-- chooses those whose turn it is for a poll. Keys and names are explained there.
-- Paid jobs that a miner takes in a row while unpaid ones wait; then one unpaid has its turn.
local PAID_IN_A_ROW = 16
-- Queues that one poll compares, and queues it looks into for those; of more a part, another one each time.
local HEADS_MAX = 24
local QUEUES_MAX = 64
local CELLS_READ_MAX = 256
-- Clients of a queue, and jobs of a client, looked at in their order...
local CLIENTS_LOOK = 8
local CLIENTS_LOOK_MORE = 64
local JOBS_LOOK = 8
-- Of a client of whose jobs this call took some, so many more at most are read ahead.
local JOBS_AHEAD_MAX = 64
-- ...and then those that are easiest to satisfy: of the rest a part, another one each time.
local EASY_LOOK = 64
local EASY_LOOK_MORE = 192
local ROW_TTL = '3600'
-- The bounds of the classes; match.ts owns them.
local MEMORY_CLASSES = { MEMORY_CLASSES_ARE_PUT_HERE }
local CUDA_CLASSES = { CUDA_CLASSES_ARE_PUT_HERE }

local function easy_key(queue)
  queue.easy = queue.easy or prefix .. 'easy:' .. queue.name
  return queue.easy
end
local function cells_key(queue) return prefix .. 'cells:' .. queue.group end
local function places_key(queue) return prefix .. 'places:' .. queue.start end
-- The queue in the terms of `waits`.
local function waits_of(queue) return queue.place == NO_PLACE and queue.start or queue.start .. '|' end

local function is_avoided(job, poll)
  local avoid = has_avoided and call('HGET', prefix .. 'avoid', job)
  return avoid and is_named(avoid, poll.account, poll.miner)
end

-- What comes into `own` and `easy` and what leaves them: key -> member -> its score, or false. Nobody sees what a call
-- does in between, so a key is written when it is to be read, and at the end.
local unwritten = {}

local function change(name, member, score)
  local changes = unwritten[name]
  if not changes then
    changes = {}
    unwritten[name] = changes
  end
  changes[member] = score
end

local function write_changes(name)
  local changes = unwritten[name]
  if not changes then return end
  unwritten[name] = nil
  write_members(name, changes)
end

local function write_all_changes()
  for name in pairs(unwritten) do write_changes(name) end
end

-- The jobs of a client in a queue. `order` holds the first of them, as they stand after what this call did, or is false
-- where they must be read; `is_all`: there are no more; `is_counted`: Redis said so.
local function line_of(queue, client)
  local line = queue.lines[client]
  if not line then
    line = {
      own = prefix .. 'own:' .. queue.name .. '|' .. client, order = false, urgencies = false, is_all = false,
      is_counted = false, has_turn = false, is_served = false,
    }
    queue.lines[client] = line
  end
  return line
end

-- How many of a line are worth reading ahead for so many slots: of a client that was served in this call as many, of another
-- one, which tells whether the first is all.
local function ahead_of(line, slots)
  return line.is_served and math.max(1, math.min(slots, JOBS_AHEAD_MAX)) or 1
end

-- The first jobs of a line: `look` of them at least where there are so many.
local function read_line(line, look, slots)
  local order = line.order
  if order and (line.is_all or #order >= look) then return order end
  write_changes(line.own)
  local count = look + ahead_of(line, slots)
  local range = call('ZRANGE', line.own, '0', count - 1, 'WITHSCORES')
  local urgencies = {}
  order = {}
  for at = 1, #range, 2 do
    order[#order + 1] = range[at]
    urgencies[range[at]] = tonumber(range[at + 1])
  end
  line.order, line.urgencies, line.is_all, line.is_counted = order, urgencies, #order < count, #order < count
  return order
end

-- What was said of the first jobs of a line, at once. They are looked into when they are needed.
local is_ahead = {}
local function read_jobs(line, count)
  local names, order = {}, line.order or {}
  for at = 1, math.min(count, #order) do
    local job = order[at]
    if jobs[job] == nil and not is_ahead[job] then
      names[#names + 1] = prefix .. 'job:' .. job
      is_ahead[job] = true
    end
  end
  if #names < 2 then return end
  local found = call('MGET', unpack(names))
  for at, name in ipairs(names) do ahead[name] = found[at] end
end

-- `is_first`: before it there was none.
local function enter_line(line, job, urgency, is_first)
  change(line.own, job, urgency)
  urgency = tonumber(urgency)
  if is_first and not line.order then line.order, line.urgencies, line.is_all, line.is_counted = {}, {}, true, false end
  local order, urgencies = line.order, line.urgencies
  if not order or urgencies[job] == urgency then return end
  if urgencies[job] then
    line.order = false
    return
  end
  local at = #order + 1
  while at > 1 do
    local before = order[at - 1]
    if urgency > urgencies[before] or (urgency == urgencies[before] and job > before) then break end
    at = at - 1
  end
  -- Behind the last that is known others may stand before it.
  if at > #order and not line.is_all then return end
  table.insert(order, at, job)
  urgencies[job] = urgency
end

local function leave_line(line, job)
  change(line.own, job, false)
  local order = line.order
  if not order or not line.urgencies[job] then return end
  line.urgencies[job] = nil
  for at = 1, #order do
    if order[at] == job then table.remove(order, at) break end
  end
end

-- Whether a line has jobs; nil: that must be asked.
local function has_jobs(line)
  if not line.order then return nil end
  if #line.order > 0 then return true end
  if line.is_counted then return false end
end

local function set_empty(line, is_empty)
  if is_empty then line.order, line.urgencies, line.is_all, line.is_counted = {}, {}, true, true
  elseif line.order and #line.order == 0 then line.order = false end
end

-- Of all clients of a list at once.
local function read_served(tier, clients)
  local tags, unknown = served[tier], nil
  for _, client in ipairs(clients) do
    if tags[client] == nil then
      unknown = unknown or {}
      unknown[#unknown + 1] = client
    end
  end
  if not unknown then return end
  local found = call('ZMSCORE', prefix .. 'served:' .. tier, unpack(unknown))
  for at, client in ipairs(unknown) do tags[client] = tonumber(found[at] or '0') end
end

-- The clients of a queue whose turns come next, as a call sees them: `last` is the tag behind which there are more;
-- nil when these are all. Their turns are written when others must be read, or at the end.
local function new_window(clients, starts, last) return { clients = clients, starts = starts, last = last, moved = {} } end

local function read_window(queue)
  local range = call('ZRANGE', queue.turns, '0', CLIENTS_LOOK - 1, 'WITHSCORES')
  local clients, starts = {}, {}
  for at = 1, #range, 2 do
    local client = range[at]
    clients[#clients + 1] = client
    starts[client] = tonumber(range[at + 1])
  end
  read_served(queue.tier, clients)
  queue.window = new_window(clients, starts, #clients == CLIENTS_LOOK and starts[clients[#clients]] or nil)
  return queue.window
end

local function write_turns(queue)
  local turns = {}
  for client, tag in pairs(queue.window.moved) do
    turns[#turns + 1] = tag
    turns[#turns + 1] = client
  end
  if #turns > 0 then call('ZADD', queue.turns, 'XX', unpack(turns)) end
  queue.window = false
  turned[queue] = nil
end

local function move_turn(queue, client, tag)
  local window = queue.window
  if window and window.starts[client] then
    window.starts[client], window.moved[client] = tag, tag
    turned[queue] = true
  else
    call('ZADD', queue.turns, 'XX', tag, client)
  end
end

-- The client whose turn it is, and when that began. The tag in Redis is that of the time when the client began to wait;
-- what it was served elsewhere since then counts here.
local function next_client(queue)
  local tags = served[queue.tier]
  for look = 1, 4 do
    local window = queue.window or read_window(queue)
    local best, best_start
    for _, client in ipairs(window.clients) do
      local start, tag = window.starts[client], tags[client]
      if tag > start then
        start = tag
        move_turn(queue, client, tag)
      end
      if not best or start < best_start or (start == best_start and client < best) then best, best_start = client, start end
    end
    if look == 4 or not window.last or (best and best_start <= window.last) then return best, best_start end
    write_turns(queue)
  end
end

-- @returns whether the client did not wait here before
local function begin_turn(queue, client, line)
  local window, tier = queue.window, queue.tier
  if line.has_turn or (window and window.starts[client]) then return end
  line.has_turn = true
  local time = times[tier] + ARRIVAL
  local start = math.max(time, served_tag(tier, client))
  if call('ZADD', queue.turns, 'NX', start, client) == 0 then return end
  times[tier] = time
  if queue.is_empty then
    queue.window = new_window({ client }, { [client] = start })
  elseif window and (not window.last or start < window.last) then
    window.clients[#window.clients + 1] = client
    window.starts[client] = start
  end
  queue.is_empty = false
  has_nothing[queue.start] = nil
  return true
end

local function end_turn(queue, client, line)
  call('ZREM', queue.turns, client)
  line.has_turn = false
  local window = queue.window
  if not window or not window.starts[client] then return end
  window.starts[client], window.moved[client] = nil, nil
  for at, other in ipairs(window.clients) do
    if other == client then table.remove(window.clients, at) break end
  end
  queue.is_empty = #window.clients == 0 and not window.last
end

-- What the order `easy` goes by; nothing where all of a queue are alike.
local function ease_of(record)
  if record.queue.tier == 1 then return record.price end
  if record.memory ~= '0' or record.cuda ~= '-1' then return '-' .. record.memory end
end

-- @returns what to add to `waits`
local function park_in(queue, job, record, ease)
  local client = record.client
  local line = line_of(queue, client)
  local is_first = begin_turn(queue, client, line)
  enter_line(line, job, record.urgency, is_first)
  if ease then change(easy_key(queue), job, ease) end
  if not is_first or queue.is_registered then return nil end
  queue.is_registered = true
  if call('SADD', cells_key(queue), queue.cell) == 1 then cells_read[queue.group] = nil end
  if queue.place ~= NO_PLACE then call('SADD', places_key(queue), queue.place) end
  return waits_of(queue)
end

local function add_waits(start)
  if call('SADD', prefix .. 'waits', start) == 1 then waits_added[#waits_added + 1] = start end
end

-- A job with a model stands in two queues. The second holds all that the first does.
local function park(job, record)
  local queue, ease = record.queue, ease_of(record)
  local first = park_in(queue, job, record, ease)
  local second = queue.any and park_in(queue.any, job, record, ease)
  if first then add_waits(first) end
  if second then add_waits(second) end
end

-- How many of two, from the first on, are no more. Where the second is, it holds all that the first does.
local function count_without(first, second)
  if not second then return 1 - call('EXISTS', first) end
  return 2 - call('EXISTS', first, second)
end

-- The same of lines; what is known of them is not asked.
local function count_empty(first, second)
  local has, has_any = has_jobs(first), second and has_jobs(second)
  if has then return 0 end
  if second and has_any == false then return 2 end
  local ask, count = {}, 1
  if has == nil then ask[#ask + 1] = first end
  if second and has_any == nil then ask[#ask + 1] = second end
  if #ask > 0 then
    local names = {}
    for at, line in ipairs(ask) do
      write_changes(line.own)
      names[at] = line.own
    end
    count = #ask - call('EXISTS', unpack(names)) + (has == false and 1 or 0)
  end
  set_empty(first, count > 0)
  if second then set_empty(second, count > 1) end
  return count
end

local function remove_from(queue, job, client, ease)
  local line = line_of(queue, client)
  leave_line(line, job)
  if ease then change(easy_key(queue), job, false) end
  return line
end

-- Takes a job out of all its queues. @returns whether its client has no more in this queue
local function remove(job, record, of_queue)
  local client, queue, ease = record.client, record.queue, ease_of(record)
  local any = queue.any
  local line = remove_from(queue, job, client, ease)
  local line_any = any and remove_from(any, job, client, ease)
  local gone = count_empty(line, line_any)
  if gone == 0 then return false end
  emptied[queue] = true
  end_turn(queue, client, line)
  if gone > 1 and any then end_turn(any, client, line_any) end
  return gone > 1 or queue == of_queue
end

-- What is empty is forgotten.
local function forget_emptied()
  local waits = {}
  for queue in pairs(emptied) do
    local any = queue.any
    local gone = count_without(queue.turns, any and any.turns)
    if gone > 0 then
      call('SREM', cells_key(queue), queue.cell)
      if gone > 1 then call('SREM', cells_key(any), any.cell) end
      for at = 1, count_without(cells_key(queue), any and cells_key(any)) do
        local one = at == 1 and queue or any
        local is_last = one.place == NO_PLACE
        if not is_last then
          call('SREM', places_key(one), one.place)
          is_last = call('EXISTS', places_key(one)) == 0
        end
        if is_last then waits[#waits + 1] = waits_of(one) end
      end
    end
  end
  for at = 1, #waits, 1000 do call('SREM', prefix .. 'waits', unpack(waits, at, math.min(at + 999, #waits))) end
end

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

-- A queue as miners of a kind see it.
local function view_of(kind, group, card, cell)
  local memory = memory_of(kind, card)
  if not memory then return nil end
  local pays, price, gigabytes, cuda = string.match(cell, '^(%d+)%.(%d+)%.(%d+)%.(%d+)$')
  local fit = math.min(
    price_fit(tonumber(price), kind.price),
    class_fit(MEMORY_CLASSES, tonumber(gigabytes), memory),
    class_fit(CUDA_CLASSES, tonumber(cuda), kind.cuda)
  )
  if fit == NONE then return nil end
  local view = { queue = queue_of(group .. '|' .. cell), is_exact = fit == ALL, step = step_of(pays) }
  -- Its head: a poll has one of each queue, and is done before the next poll.
  view.item = { view = view, job = false, client = false, start = 0, urgency = 0 }
  return view
end

-- The queues of a group that are for a kind. `is_all`: the group has no others.
local function views_of(kind, start, place)
  local group = start .. '|' .. place
  local cells = cells_read[group]
  if not cells then
    local name = prefix .. 'cells:' .. group
    -- All of them as nearly always. The broker that stands in for Redis knows no SRANDMEMBER in a script.
    cells = call('SCARD', name) <= CELLS_READ_MAX and call('SMEMBERS', name) or call('SRANDMEMBER', name, CELLS_READ_MAX)
    if #cells < CELLS_READ_MAX then cells_read[group] = cells end
  end
  local views = kind.views[cells]
  if not views then
    views = {}
    local card = place == NO_PLACE and '' or string.match(place, '^(.-)|')
    for _, cell in ipairs(cells) do views[#views + 1] = view_of(kind, group, card, cell) end
    views.is_all = #views == #cells and #cells < CELLS_READ_MAX
    kind.views[cells] = views
  end
  return views
end

local function suits(view, poll, job)
  if has_avoided and is_avoided(job, poll) then return false end
  return view.is_exact or fits_numbers(poll.kind, read_job(job))
end

-- The first of a client's own jobs here that suits, as the head of this queue.
local function first_of(view, poll, client, start)
  local line = line_of(view.queue, client)
  local look = (view.is_exact and not has_avoided) and 1 or JOBS_LOOK
  local order = read_line(line, look, poll.wants)
  if not view.is_exact then read_jobs(line, look) end
  for at = 1, math.min(look, #order) do
    local job = order[at]
    if suits(view, poll, job) then
      local item = view.item
      item.job, item.client, item.start, item.urgency = job, client, start, line.urgencies[job]
      return item
    end
  end
end

local function easiest(view, poll, from, count)
  local name = easy_key(view.queue)
  write_changes(name)
  for _, job in ipairs(call('ZREVRANGE', name, from, from + count - 1)) do
    if suits(view, poll, job) then
      local record = read_job(job)
      local item = view.item
      item.job, item.client, item.start, item.urgency = job, record.client, times[view.queue.tier], tonumber(record.urgency)
      return item
    end
  end
end

-- Where nothing of the client suits whose turn it is: the others in their order, then what is easiest to satisfy.
local function head_behind(view, poll, seed, first)
  local queue = view.queue
  local window = queue.window
  local clients = {}
  for _, client in ipairs(window.clients) do
    if client ~= first then clients[#clients + 1] = client end
  end
  table.sort(clients, function(a, b)
    local start_a, start_b = window.starts[a], window.starts[b]
    if start_a ~= start_b then return start_a < start_b end
    return a < b
  end)
  for _, client in ipairs(clients) do
    local found = first_of(view, poll, client, window.starts[client])
    if found then return found end
  end
  local found = easiest(view, poll, 0, EASY_LOOK)
  if found then return found end
  local left = call('ZCARD', easy_key(queue)) - EASY_LOOK
  if left > 0 then
    local skip = left > EASY_LOOK_MORE and seed % (left - EASY_LOOK_MORE + 1) or 0
    found = easiest(view, poll, EASY_LOOK + skip, EASY_LOOK_MORE)
  end
  if found or not window.last then return found end
  local further = call('ZRANGE', queue.turns, CLIENTS_LOOK, CLIENTS_LOOK_MORE - 1, 'WITHSCORES')
  for at = 1, #further, 2 do
    found = first_of(view, poll, further[at], tonumber(further[at + 1]))
    if found then return found end
  end
end

-- The job of this queue whose turn it is; nil when there is none for this miner.
local function head(view, poll, seed)
  local queue = view.queue
  if queue.is_empty then return nil end
  local client, start = next_client(queue)
  if not client then
    queue.is_empty = true
    return nil
  end
  return first_of(view, poll, client, start) or head_behind(view, poll, seed, client)
end

-- Adds the heads of a group. @returns whether these are enough
local function look_into(heads, start, place, poll, seed)
  local views = views_of(poll.kind, start, place)
  local count, empty = #views, 0
  for at = 1, count do
    local view = views[(seed + at) % count + 1]
    heads[#heads + 1] = head(view, poll, seed)
    -- What became empty in this call is forgotten only at its end.
    if view.queue.is_empty then empty = empty + 1 else heads.looked = heads.looked + 1 end
    if #heads >= HEADS_MAX or heads.looked >= QUEUES_MAX then return true end
  end
  if place == NO_PLACE and views.is_all and empty == count then has_nothing[start] = true end
end

-- The queues that have a job for this poll, with the first of each. `starts` are those of `waits` that are for it. Each
-- list is gone through from another place each time.
local function open_queues(poll, starts, seed)
  local heads = { looked = 0 }
  for at = 1, #starts do
    local start = starts[(seed + at) % #starts + 1]
    if has_nothing[start] then
      -- Nothing to look into.
    elseif string.byte(start, -1) ~= 124 or string.match(start, '^%d|[^|]*|$') then
      if look_into(heads, start, NO_PLACE, poll, seed) then return heads end
    else
      start = string.sub(start, 1, -2)
      local places = call('SINTER', prefix .. 'places:' .. start, poll.kind.places)
      for i = 1, #places do
        if look_into(heads, start, places[(seed + i) % #places + 1], poll, seed) then return heads end
      end
    end
  end
  return heads
end

-- A client's turn comes when what it waits for would be finished first, at the pace of what it pays.
local function best_of(heads)
  local best, best_finish
  for _, item in ipairs(heads) do
    local finish = math.max(item.start, served_tag(item.view.queue.tier, item.client)) + item.view.step
    if not best or finish < best_finish or (finish == best_finish and item.job < best.job) then
      best, best_finish = item, finish
    end
  end
  if not best then return nil end
  -- Whose turn it is decides which of its own jobs comes first: by its priorities, then by age.
  for _, item in ipairs(heads) do
    if item.client == best.client
      and (item.urgency < best.urgency or (item.urgency == best.urgency and item.job < best.job)) then best = item end
  end
  return best
end

local function take(heads, item, poll, seed, is_last)
  local queue, client = item.view.queue, item.client
  local tier = queue.tier
  local line = line_of(queue, client)
  if line.is_served and jobs[item.job] == nil and not is_ahead[item.job] then read_jobs(line, ahead_of(line, poll.wants)) end
  line.is_served = true
  local is_gone = remove(item.job, read_job(item.job), queue)
  set_avoid(item.job, '')
  local tag = serve(tier, client, item.start, item.view.step)
  if not is_gone then move_turn(queue, client, tag) end
  if is_last then return end
  for at = #heads, 1, -1 do
    if heads[at].client == client then
      local other = head(heads[at].view, poll, seed)
      if other then heads[at] = other else table.remove(heads, at) end
    end
  end
end

-- Takes up to `slots` jobs for a poll: paid before unpaid, with a turn for the unpaid where they wait behind many.
local function choose_from(poll, starts, slots, seed)
  local got = {}
  -- How many may still be taken, by the polls behind it too.
  poll.wants = slots + slots_to_come
  local takes_unpaid = #starts.unpaid > 0
  local paid = #starts.paid > 0 and open_queues(poll, starts.paid, seed) or {}
  if #paid == 0 and not takes_unpaid then return got end
  local row_before = takes_unpaid and #paid > 0 and tonumber(call('HGET', prefix .. 'row', poll.miner) or '0') or 0
  local row, unpaid = row_before, nil
  while #got < slots do
    local item, heads
    if row < PAID_IN_A_ROW then item, heads = best_of(paid), paid end
    if not item and takes_unpaid then
      unpaid = unpaid or open_queues(poll, starts.unpaid, seed)
      item, heads = best_of(unpaid), unpaid
    end
    if not item then item, heads = best_of(paid), paid end
    if not item then break end
    got[#got + 1] = item.job
    poll.wants = poll.wants - 1
    if heads == unpaid then row = 0 elseif takes_unpaid then row = math.min(row + 1, PAID_IN_A_ROW) end
    take(heads, item, poll, seed, #got == slots)
  end
  if row ~= row_before then
    if row == 0 then call('HDEL', prefix .. 'row', poll.miner) else call('HSET', prefix .. 'row', poll.miner, row) end
    call('EXPIRE', prefix .. 'row', ROW_TTL)
  end
  return got
end

return {
  park = park, remove = remove, choose_from = choose_from, write_all_changes = write_all_changes, write_turns = write_turns,
  forget_emptied = forget_emptied,
}
