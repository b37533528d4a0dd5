-- Gives back units of a message that another server refused after all.
-- KEYS: one window. ARGV: the units. See take.lua for what a window is.
local key, left = KEYS[1], tonumber(ARGV[1])
local m = redis.call('HMGET', key, 'h', 't', 'u')
local head, tail, used = tonumber(m[1]) or 0, tonumber(m[2]) or 0, tonumber(m[3]) or 0
while left > 0 and head < tail do
  local at, n = string.match(redis.call('HGET', key, tail - 1), '(%d+) (%d+)')
  local taken = math.min(left, tonumber(n))
  left, used = left - taken, used - taken
  if taken == tonumber(n) then
    tail = tail - 1
    redis.call('HDEL', key, tail)
  else
    redis.call('HSET', key, tail - 1, string.format('%s %d', at, n - taken))
  end
end
if head < tail then
  redis.call('HSET', key, 't', tail, 'u', used)
else
  redis.call('DEL', key)
end
return used
