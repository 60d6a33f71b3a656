-- Puts up a split in place of the one that was expected there, and tells all boards. "" stands for nothing.
-- Gives 'done', or 'other' and what is there instead, or 'deposed' and the newest term.
local splits, newest_term = KEYS[1], KEYS[2]
local channel, keep_ms, deployment, expected, wanted, term, keep_term_ms = unpack(ARGV)

sound(splits, 'hash')
local newest = term ~= '' and fenced(newest_term, term, keep_term_ms)
if newest then return {'deposed', newest} end

local present = redis.call('HGET', splits, deployment) or ''
if present ~= expected then return {'other', present} end

if wanted ~= present then
  redis.call('HSET', splits, deployment, wanted)
  tell(channel, 'split', deployment, wanted)
end
redis.call('PEXPIRE', splits, keep_ms)
return {'done'}
