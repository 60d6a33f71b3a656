-- Gives token, name and acknowledged stamp ("" if none) of every live gateway.
local gateways = KEYS[1]
local prefix, deployment = unpack(ARGV)

sound(gateways, 'set')
local found = {}
for _, token in ipairs(redis.call('SMEMBERS', gateways)) do
  local key = prefix .. token
  if redis.call('TYPE', key).ok == 'hash' then
    local name, stamp = unpack(redis.call('HMGET', key, 'name', 'of ' .. deployment))
    if name then
      found[#found + 1] = token
      found[#found + 1] = name
      found[#found + 1] = whole(stamp) or ''
    end
  end
end
return found
