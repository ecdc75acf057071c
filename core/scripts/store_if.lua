-- Stores a value only where the key still is as its writer saw it.
-- KEYS[1]; ARGV: "absent", or "is" with the entry's id (bytes 8 to 15 of what is there); that id; the value; its life in ms, "0" for ever.
-- 1: stored. 0: the key holds something else by now.
if ARGV[1] == 'absent' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
elseif redis.call('EXISTS', KEYS[1]) == 0 or redis.call('GETRANGE', KEYS[1], 8, 15) ~= ARGV[2] then
  return 0
end
if ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
