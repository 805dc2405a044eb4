-- A sliding minute in 60 buckets of one second: what was used comes back second by second. Refused requests are not
-- counted, so asking again does not prolong the wait. The clock is Redis's own, so gateways need not agree on theirs.
-- KEYS[1] hash: second -> units, 'n' -> units in the window, 'o' -> oldest second that holds units
-- ARGV[1] limit   ARGV[2] units asked for   ARGV[3] '1': take them even beyond the limit
-- Answers {units used afterwards, 1 if taken, seconds until units come back}.
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
if ARGV[3] == '1' or used + units <= limit then
  taken = 1
  used = used + units
  redis.call('HINCRBY', key, now, units)
  redis.call('HSET', key, 'n', used, 'o', oldest)
  redis.call('EXPIRE', key, 61)
end
return { used, taken, oldest + 60 - now }
