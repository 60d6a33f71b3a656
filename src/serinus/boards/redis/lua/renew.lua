-- Renews the lease of the canaries; gives the newest term if the one given is older, else nothing.
local lease, newest_term = KEYS[1], KEYS[2]
local channel, term, ttl_ms, keep_term_ms = unpack(ARGV)

local newest = fenced(newest_term, term, keep_term_ms)
if newest then return newest end

local remaining = redis.call('PTTL', lease)
redis.call('SET', lease, term, 'PX', ttl_ms)
-- The boards count it down by themselves; they are told of what they could not know.
if remaining < 0 or remaining > tonumber(ttl_ms) then tell(channel, 'lease') end
