-- Puts up a gateway process's evidence of some rollouts, each under a key of its own, as [size, written at, evidence].
-- The sizes of one process only grow: what comes late, after something greater, changes nothing.
local field, keep_s = ARGV[1], tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])

local function read(value)
  return string.match(value, '^%[(%d+),(%d+),%[.*%]%]$')
end

-- The fields of a key that is written to again and again would never expire.
local function drop_old(key)
  local all = redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    local _, written = read(all[at + 1])
    if not written or tonumber(written) < now - keep_s then redis.call('HDEL', key, all[at]) end
  end
end

for number, key in ipairs(KEYS) do
  local size, evidence = unpack(ARGV, 1 + 2 * number, 2 + 2 * number)
  sound(key, 'hash')
  local present = redis.call('HGET', key, field)
  local held = whole(present and read(present))
  if not present then drop_old(key) end
  if not (held and greater(held, size)) then
    redis.call('HSET', key, field, '[' .. size .. ',' .. now .. ',' .. evidence .. ']')
  end
  redis.call('EXPIRE', key, keep_s)
end
