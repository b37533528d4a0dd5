-- Adds units that were admitted while this server could not be asked.
-- KEYS: one window. ARGV: its length in microseconds, units a group may have, then for each group,
-- oldest first, its age in microseconds and its units. See take.lua for what a window is.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local key, per, grain = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local m = redis.call('HMGET', key, 'h', 't', 'u')
local head, tail, used = tonumber(m[1]) or 0, tonumber(m[2]) or 0, tonumber(m[3]) or 0
local last, n = 0, grain
if head < tail then
  local a, b = string.match(redis.call('HGET', key, tail - 1), '(%d+) (%d+)')
  last, n = tonumber(a), tonumber(b)
end
for i = 3, #ARGV, 2 do
  local at, units = now - tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if at + per > now then
    if n + units <= grain then
      tail, n = tail - 1, n + units
    else
      last, n = math.max(last, at), units
    end
    redis.call('HSET', key, tail, string.format('%.0f %d', last, n))
    tail, used = tail + 1, used + units
  end
end
redis.call('HSET', key, 'h', head, 't', tail, 'u', used)
redis.call('PEXPIRE', key, string.format('%.0f', per / 1000 + 1000))
return used
