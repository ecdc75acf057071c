-- Adds to a counter and gives it a life when it is made.
-- KEYS[1]; ARGV: what to add; its life in ms, "0" for ever.
-- The counter as text: a number of Lua holds 53 bits only.
local made = redis.call('EXISTS', KEYS[1]) == 0
redis.call('INCRBY', KEYS[1], ARGV[1])
if made and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
