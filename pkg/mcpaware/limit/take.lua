-- Charges a message for all its rules or for none, by this server's clock.
-- KEYS: a window each. ARGV, five each: limit, units, length in microseconds, units a group may have, and 1
-- where the processor would have more than its share with these units; the limit of a shadow is negative.
-- Gives 1 or 0 for admitted, this server's clock, then for each key the units in its window and, where it has no room, the
-- microseconds until it has; else 0.
--
-- A window is a hash: h is the number of its first group, t that of the next one, u the units of all, and
-- each group stands under its number as the time of its first unit and its units. b is until when some processor may have
-- more than its share: until then all processors are told of what is used.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function group(key, i)
  local at, units = string.match(redis.call('HGET', key, i), '(%d+) (%d+)')
  return tonumber(at), tonumber(units)
end

local windows, out, admitted = {}, {}, 1
for i, key in ipairs(KEYS) do
  local limit, units = tonumber(ARGV[5 * i - 4]), tonumber(ARGV[5 * i - 3])
  local per = tonumber(ARGV[5 * i - 2])
  local shadow = limit < 0
  if shadow then limit = -limit end
  if units > limit then units = limit end
  local m = redis.call('HMGET', key, 'h', 't', 'u', 'b')
  local w = { head = tonumber(m[1]) or 0, tail = tonumber(m[2]) or 0, used = tonumber(m[3]) or 0, units = units, per = per, over = false, limit = limit, borrowed = tonumber(m[4]) or 0 }
  local gone = {}
  while w.head < w.tail do
    local at, n = group(key, w.head)
    if at + per > now then break end
    w.used = w.used - n
    gone[#gone + 1] = w.head
    w.head = w.head + 1
  end
  if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
    redis.call('HSET', key, 'h', w.head, 'u', w.used)
  end
  local wait = 0
  if w.used + units > limit then
    w.over = true
    local missing, j = w.used + units - limit, w.head
    wait = per
    while j < w.tail do
      local at, n = group(key, j)
      missing = missing - n
      if missing <= 0 then
        wait = math.max(at + per - now, 1)
        break
      end
      j = j + 1
    end
    if not shadow then admitted = 0 end
  end
  windows[i] = w
  out[2 * i + 1], out[2 * i + 2] = w.used, wait
end
out[1], out[2] = admitted, now
if admitted == 0 then return out end

for i, key in ipairs(KEYS) do
  local w = windows[i]
  if not w.over then
    local at, n = now, 0
    if w.head < w.tail then
      at, n = group(key, w.tail - 1)
      if n + w.units <= tonumber(ARGV[5 * i - 1]) then
        w.tail = w.tail - 1
      else
        at, n = math.max(at, now), 0
      end
    end
    redis.call('HSET', key, w.tail, string.format('%.0f %d', at, n + w.units), 'h', w.head, 't', w.tail + 1, 'u', w.used + w.units)
    redis.call('PEXPIRE', key, string.format('%.0f', w.per / 1000 + 1000))
    out[2 * i + 1] = w.used + w.units
    if ARGV[5 * i] == '1' then
      w.borrowed = now + w.per
      redis.call('HSET', key, 'b', string.format('%.0f', w.borrowed))
    end
    if w.borrowed > now then
      redis.call('PUBLISH', 'holdfast:limit:news', string.format('%s %d %.0f %d %.0f', key, w.used + w.units, now, w.limit, w.per))
    end
  end
end
return out
