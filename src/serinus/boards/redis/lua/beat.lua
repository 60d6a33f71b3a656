-- Keeps the gateways of a board alive, with what they have acknowledged, and tells of what is new in that.
-- Then, if a channel of its own is given, tells the board there how everything stands. Thus the board hears of changes
-- and of how things stand in one order, that in which they happened.
local splits, lease, gateways = KEYS[1], KEYS[2], KEYS[3]
local prefix, channel, live_ms, keep_ms, own, asked, known = unpack(ARGV, 1, 7)
local LEFT = 'left'

-- Reads what a gateway has acknowledged so far, and makes it one that lives. Nil if it has left.
local function revived(token, name)
  local key = prefix .. token
  if redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) == LEFT then return end
  sound(key, 'hash')
  redis.call('SADD', gateways, token)
  redis.call('HSET', key, 'name', name)
  redis.call('PEXPIRE', key, live_ms)
  local fields, acknowledged = redis.call('HGETALL', key), {}
  for at = 1, #fields, 2 do acknowledged[fields[at]] = whole(fields[at + 1]) end
  return acknowledged
end

sound(gateways, 'set')
local news = {'acknowledged'}
local at = 8
while at <= #ARGV do
  local token, name, number = unpack(ARGV, at, at + 2)
  local acknowledged = revived(token, name)
  local first = at + 3
  at = first + 2 * tonumber(number)
  for place = first, acknowledged and at - 1 or 0, 2 do
    local deployment, stamp = ARGV[place], ARGV[place + 1]
    local before = acknowledged['of ' .. deployment]
    if not before or greater(stamp, before) then
      redis.call('HSET', prefix .. token, 'of ' .. deployment, stamp)
      news[#news + 1] = deployment
    end
  end
end
redis.call('PEXPIRE', gateways, keep_ms)
if #news > 1 then redis.call('PUBLISH', channel, cjson.encode(news)) end
if own == '' then return end

local remaining = redis.call('PTTL', lease)
if remaining == -1 then redis.call('DEL', lease) end -- a lease that would never run out is none of ours

sound(splits, 'hash')
redis.call('PEXPIRE', splits, keep_ms)
local present = redis.call('HGETALL', splits)
local digest = redis.sha1hex(cjson.encode(present))

local live = {}
for _, token in ipairs(redis.call('SMEMBERS', gateways)) do
  local key = prefix .. token
  local name = redis.call('TYPE', key).ok == 'hash' and redis.call('HGET', key, 'name')
  if name then
    live[#live + 1] = token
    live[#live + 1] = name
  else
    redis.call('SREM', gateways, token)
  end
end
local state = {'state', asked, tostring(remaining), digest, digest == known and 'same' or 'all', tostring(#live)}
for _, text in ipairs(live) do state[#state + 1] = text end
if digest ~= known then
  for _, text in ipairs(present) do state[#state + 1] = text end
end
redis.call('PUBLISH', own, cjson.encode(state))
