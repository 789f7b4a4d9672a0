-- Applies a batch of claims; see `store.rs`. Times are in microseconds, by the clock of the server.
--
-- KEYS[1]   the record of the cluster: INSTANCE -> end of its lease, "#" -> when it was made,
--           "?" -> when it was found that the data had been lost
-- KEYS[2…]  one key for each claim
-- ARGV      the instance, the lease, the number of instances it knows of, whether it is leaving,
--           then for each claim: want, hold or "rate", max or burst, number or interval

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local me, lease, known, leaving = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local lease_ms = math.ceil(lease / 1000)

local function int(number)
    return string.format('%.0f', number)
end

-- Instances that may have other leases share the key.
local function expire(key, ms)
    if redis.call('PTTL', key) < ms then
        redis.call('PEXPIRE', key, ms)
    end
end

local function register()
    local born, since, is_known, instances = nil, nil, false, 0
    local record = redis.call('HGETALL', KEYS[1])
    for i = 1, #record, 2 do
        local name, value = record[i], tonumber(record[i + 1])
        if name == '#' then
            born = value
        elseif name == '?' then
            since = value
        elseif value <= now then
            redis.call('HDEL', KEYS[1], name)
        elseif name == me then
            is_known = true
        else
            instances = instances + 1
        end
    end
    if not born then
        born = now
        redis.call('HSET', KEYS[1], '#', int(now))
    end
    if leaving then
        redis.call('HDEL', KEYS[1], me)
    else
        instances = instances + 1
        redis.call('HSET', KEYS[1], me, int(now + lease))
        if not is_known and not since and known > 0 and now - born < lease then
            since = now
            redis.call('HSET', KEYS[1], '?', int(now))
        end
    end
    -- Long enough to be remembered by an instance that misses some renewals.
    expire(KEYS[1], 2 * lease_ms)
    return instances, since ~= nil and now - since < lease
end

local instances, is_learning = register()
-- `nil` unless the store is learning.
local sharers = is_learning and math.max(instances, known, 1) or nil

local function places(key, want, hold, max, number)
    local others = 0
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
        local count, ends, applied = string.match(held[i + 1], '^(%d+) (%d+) (%d+)$')
        if held[i] == me then
            if tonumber(applied) > number then
                return 0
            end
        elseif tonumber(ends) <= now then
            redis.call('HDEL', key, held[i])
        else
            others = others + count
        end
    end
    local granted = math.min(want, max - others)
    if sharers then
        granted = math.min(granted, math.max(1, math.floor(max / sharers)), max)
    end
    granted = math.max(granted, hold, 0)
    if granted > 0 then
        redis.call('HSET', key, me, granted .. ' ' .. int(now + lease) .. ' ' .. int(number))
        if others > 0 then
            expire(key, lease_ms)
        else
            redis.call('PEXPIRE', key, lease_ms)
        end
    else
        redis.call('HDEL', key, me)
    end
    return granted
end

-- The virtual scheduling of GCRA: the value is the time at which the bucket is full again.
local function tokens(key, want, burst, interval)
    local full = math.max(tonumber(redis.call('GET', key) or 0), now)
    local room = math.floor((burst * interval - (full - now) + 1) / interval)
    local granted = math.max(math.min(want, room, burst), 0)
    if granted > 0 then
        full = full + granted * interval
        redis.call('SET', key, string.format('%.1f', full), 'PX', math.ceil((full - now) / 1000))
    end
    return granted
end

local answer = { instances, is_learning and 1 or 0 }
for i = 2, #KEYS do
    local at = 4 * i - 3
    local want, max, last = tonumber(ARGV[at]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local applied, granted
    if ARGV[at + 1] == 'rate' then
        applied, granted = pcall(tokens, KEYS[i], want, max, last)
    else
        applied, granted = pcall(places, KEYS[i], want, tonumber(ARGV[at + 1]), max, last)
    end
    -- A key that is used for something else is a matter of one client.
    answer[i + 1] = applied and granted or -1
end
return answer
