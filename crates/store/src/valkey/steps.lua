-- The steps of a shared store in Valkey or Redis: each runs as a whole, by itself, on the server.
--
-- KEYS: 1 the session's hash, 2 the store's hash, 3 the set of sessions, 4 values put aside, 5 events (a stream),
--       6 what events of the session were told, 7 the endpoint's hash, 8 the channel on which changes are told
-- ARGV: 1 the step, then its values. A value that may be missing is "0", or "1" and the value.

local S, M, NAMES, ASIDE, EVENTS, TOLD, ENDPOINT, CHANNEL =
    KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local DONE, FENCED, MOVED, KEY_CHANGED = 0, 1, 2, 3

-- The server's clock, in milliseconds since the epoch.
local function now()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function int(number)
    return string.format('%.0f', number)
end

local function from_now(ms)
    return int(now() + tonumber(ms))
end

local function left(instant)
    return math.max(tonumber(instant or '0') - now(), 0)
end

local function optional(value)
    if string.sub(value, 1, 1) == '1' then
        return string.sub(value, 2)
    end
    return false
end

local function field(name)
    return redis.call('HGET', S, name)
end

local function number(name)
    return tonumber(field(name) or '0')
end

local function set(name, value)
    if value then
        redis.call('HSET', S, name, value)
    else
        redis.call('HDEL', S, name)
    end
end

local function key_id()
    return redis.call('HGET', M, 'key_id')
end

-- Numbers a change and tells it.
local function done()
    local change = redis.call('HINCRBY', M, 'changes', 1)
    redis.call('PUBLISH', CHANNEL, '')
    return { DONE, change }
end

local function row()
    local kept = redis.call('HMGET', S, 'generation', 'epoch', 'lease_holder', 'lease_host', 'lease_until', 'pair',
        'login', 'intent', 'latch', 'info', 'suspect', 'trouble', 'trouble_until')
    if not kept[2] then
        return false
    end
    return { tonumber(kept[1] or '0'), tonumber(kept[2]), kept[3], kept[4], left(kept[5]), kept[6], kept[7], kept[8],
        kept[9], kept[10] or '{}', tonumber(kept[11] or '0'), kept[12], left(kept[13]), key_id() }
end

-- The row exists from here on.
local function ensure(name)
    if redis.call('HSETNX', S, 'epoch', 0) == 1 then
        redis.call('SADD', NAMES, name)
    end
end

local function end_lease()
    redis.call('HDEL', S, 'lease_holder', 'lease_host', 'lease_until')
end

-- Why a write under a lease is refused; nothing when it is not. `generation` may be nil: any will do.
local function refused(epoch, holder, generation)
    if field('epoch') ~= epoch or field('lease_holder') ~= holder then
        return { FENCED, 0 }
    end
    if generation and number('generation') ~= tonumber(generation) then
        return { MOVED, number('generation') }
    end
end

local steps = {}

function steps.store_id(fresh)
    redis.call('HSETNX', M, 'store_id', fresh)
    return redis.call('HGET', M, 'store_id')
end

-- The schema's version, which only ever rises.
function steps.schema(known)
    redis.call('HSETNX', M, 'schema_version', known)
    return tonumber(redis.call('HGET', M, 'schema_version'))
end

function steps.set_first_key(id, check)
    if redis.call('HSETNX', M, 'key_id', id) == 1 then
        redis.call('HSET', M, 'key_check', check)
    end
    return key_id()
end

function steps.get()
    return row()
end

function steps.take_lease(name, epoch, holder, host, ttl)
    if number('epoch') ~= tonumber(epoch) then
        return false
    end
    ensure(name)
    redis.call('HINCRBY', S, 'epoch', 1)
    redis.call('HSET', S, 'lease_holder', holder, 'lease_host', host, 'lease_until', from_now(ttl))
    return row()
end

function steps.renew(epoch, holder, ttl)
    local no = refused(epoch, holder)
    if no then
        return no
    end
    set('lease_until', from_now(ttl))
    return { DONE, 0 }
end

function steps.release(epoch, holder)
    if refused(epoch, holder) then
        return { FENCED, 0 }
    end
    end_lease()
    return done()
end

function steps.intent(epoch, holder, generation, intent)
    local no = refused(epoch, holder, generation)
    if no then
        return no
    end
    set('intent', optional(intent))
    return done()
end

function steps.commit(epoch, holder, generation, pair, info, key)
    local no = refused(epoch, holder, generation)
    if no then
        return no
    end
    if key_id() ~= key then
        return { KEY_CHANGED, 0 }
    end
    redis.call('HSET', S, 'generation', int(tonumber(generation) + 1), 'pair', pair, 'info', info)
    redis.call('HDEL', S, 'intent', 'latch', 'suspect', 'trouble', 'trouble_until')
    return done()
end

function steps.latch(epoch, holder, generation, latch)
    local no = refused(epoch, holder, generation)
    if no then
        return no
    end
    set('latch', latch)
    redis.call('HDEL', S, 'intent', 'trouble', 'trouble_until')
    return done()
end

function steps.adopt(epoch, generation, pair, key)
    if field('epoch') ~= epoch or number('generation') >= tonumber(generation) or key_id() ~= key then
        return { FENCED, 0 }
    end
    redis.call('HSET', S, 'generation', generation, 'pair', pair)
    redis.call('HDEL', S, 'intent', 'latch', 'trouble', 'trouble_until')
    return done()
end

function steps.put(name, epoch, seen, generation, pair, login, latch, info, suspect, key, aside, at)
    if number('epoch') ~= tonumber(epoch) or number('generation') ~= tonumber(seen) or key_id() ~= key then
        return { FENCED, 0 }
    end
    ensure(name)
    local why = optional(aside)
    if why then
        redis.call('RPUSH', ASIDE, cmsgpack.pack({ at, name, seen, field('pair'), field('login'), why }))
    end
    set('generation', generation)
    set('pair', optional(pair))
    set('login', optional(login))
    set('latch', optional(latch))
    set('info', info)
    set('suspect', suspect)
    redis.call('HDEL', S, 'intent', 'trouble', 'trouble_until')
    redis.call('HINCRBY', S, 'epoch', 1)
    end_lease()
    return done()
end

function steps.logout()
    if field('epoch') then
        redis.call('HDEL', S, 'pair', 'login', 'intent', 'latch', 'suspect', 'trouble', 'trouble_until')
        redis.call('HINCRBY', S, 'epoch', 1)
        end_lease()
    end
    return done()
end

function steps.save_info(name, info)
    ensure(name)
    set('info', info)
    return done()
end

function steps.note(name, generation, trouble, wait)
    if number('generation') ~= tonumber(generation) then
        return { MOVED, number('generation') }
    end
    ensure(name)
    set('trouble', optional(trouble))
    set('trouble_until', from_now(wait))
    return done()
end

function steps.pace()
    local kept = redis.call('HMGET', ENDPOINT, 'failures', 'until', 'failure')
    if not kept[1] then
        return false
    end
    return { tonumber(kept[1]), left(kept[2]), kept[3] }
end

function steps.set_pace(failures, wait, failure)
    redis.call('HSET', ENDPOINT, 'failures', failures, 'until', from_now(wait))
    local told = optional(failure)
    if told then
        redis.call('HSET', ENDPOINT, 'failure', told)
    else
        redis.call('HDEL', ENDPOINT, 'failure')
    end
    return done()
end

function steps.clear_pace()
    redis.call('DEL', ENDPOINT)
    return done()
end

-- `once`: "" always, "generation" or "login" unless one of this kind is stored for it. What was stored last of each kind
-- is remembered beside the stream, as "generation id".
function steps.append(once, most, at, session, kind, generation, text, failure, holder)
    local last = redis.call('HGET', TOLD, kind)
    if last and once ~= '' then
        local space = string.find(last, ' ', 1, true)
        local known, id = tonumber(string.sub(last, 1, space - 1)), tonumber(string.sub(last, space + 1))
        if once == 'generation' and known == tonumber(generation) then
            return false
        end
        if once == 'login' then
            local login = redis.call('HGET', TOLD, 'logged_in')
            local since = login and tonumber(string.sub(login, string.find(login, ' ', 1, true) + 1)) or 0
            if id > since then
                return false
            end
        end
    end
    local id = redis.call('HINCRBY', M, 'events', 1)
    redis.call('XADD', EVENTS, 'MAXLEN', most, int(id) .. '-0', 'at', at, 'session', session, 'kind', kind, 'generation',
        generation, 'text', text, 'failure', failure, 'holder', holder)
    redis.call('HSET', TOLD, kind, generation .. ' ' .. int(id))
    done()
    return id
end

function steps.probe(at)
    redis.call('HSET', M, 'probed', at)
    return true
end

function steps.mark_suspect(suspect)
    if field('pair') then
        set('suspect', suspect)
    end
    return true
end

-- Counts changes on from above `floor`.
function steps.raise(floor)
    local change = math.max(tonumber(redis.call('HGET', M, 'changes') or '0'), tonumber(floor)) + 1
    redis.call('HSET', M, 'changes', int(change))
    redis.call('PUBLISH', CHANNEL, '')
    return change
end

return steps[ARGV[1]](unpack(ARGV, 2))
