-- Takes a gateway out; what it leaves behind keeps a beat that is still on its way from bringing it back.
local gateways, key = KEYS[1], KEYS[2]
local channel, live_ms, token = unpack(ARGV)

sound(gateways, 'set')
redis.call('SREM', gateways, token)
redis.call('SET', key, 'left', 'PX', live_ms)
tell(channel, 'left', token)
