-- What every script begins with.

-- Removes what is of another kind than it should be: whatever belongs there can be put up anew.
local function sound(key, kind)
  local is = redis.call('TYPE', key).ok
  if is ~= kind and is ~= 'none' then redis.call('DEL', key) end
end

-- Whole numbers stay text, since a number in Lua is exact only up to 2^53. Nil for anything else.
local function whole(text)
  return text and #text <= 19 and string.match(text, '^%d+$')
end

local function greater(one, other)
  if #one ~= #other then return #one > #other end
  return one > other
end

-- Remembers a term; gives the newest one if the term is older than that.
local function fenced(key, term, keep_ms)
  sound(key, 'string')
  local newest = whole(redis.call('GET', key))
  if newest and greater(newest, term) then return newest end
  redis.call('SET', key, term, 'PX', keep_ms)
end

local function tell(channel, ...)
  redis.call('PUBLISH', channel, cjson.encode({...}))
end
