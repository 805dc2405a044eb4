-- A sliding minute in 60 buckets of one second: what was used comes back second by second. Refused requests are not
-- counted, so asking again does not prolong the wait. The clock is Redis's own, so gateways need not agree on theirs.
-- KEYS[1] hash: second -> units, 'n' -> units in the window, 'o' -> oldest second that holds units
-- ARGV[1] limit   ARGV[2] units asked for: so many are taken, or what is left, if that is one at least
-- ARGV[3] instead of taking: add so many units, even beyond the limit, or give so many back if below zero
-- ARGV[4] the second to add to or to give back to, as it was answered when they were taken
-- Answers {units used afterwards, units taken, seconds until units come back, the second now}.
local key = KEYS[1]
local now = tonumber(redis.call('TIME')[1])
local limit = tonumber(ARGV[1])
local units = tonumber(ARGV[2])
local state = redis.call('HMGET', key, 'n', 'o')
local used = tonumber(state[1]) or 0
local oldest = tonumber(state[2]) or now

if used > 0 and oldest <= now - 60 then
  while used > 0 do
    local held = tonumber(redis.call('HGET', key, oldest)) or 0
    if held > 0 and oldest > now - 60 then break end
    if held > 0 then redis.call('HDEL', key, oldest) end
    used = used - held
    oldest = oldest + 1
  end
  redis.call('HSET', key, 'n', used, 'o', oldest)
end
if used == 0 then oldest = now end

local taken = 0
local second = now
if ARGV[3] then
  taken = tonumber(ARGV[3])
  if taken < 0 then
    -- What has left the window by itself cannot be given back.
    second = tonumber(ARGV[4])
    local held = 0
    if second > now - 60 then held = tonumber(redis.call('HGET', key, second)) or 0 end
    taken = -math.min(held, -taken)
  end
else
  taken = math.max(0, math.min(units, limit - used))
end
if taken ~= 0 then
  used = used + taken
  redis.call('HINCRBY', key, second, taken)
  redis.call('HSET', key, 'n', used, 'o', oldest)
  redis.call('EXPIRE', key, 61)
end
return { used, taken, oldest + 60 - now, now }
