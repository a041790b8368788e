#!lua name=ocspeed

-- Guarded writes of pages (docs/architecture.md, "The store"): compare-and-set on the header of one page a call.
-- Numbers are big-endian through `struct`; strings are only tested for equality, because Lua orders them by the
-- server's locale. A generation comes as two numbers, epoch and counter: a double holds 48 bits, not 64.

local HEADER_FIELD = ''
local HEADER_LAYOUT = '>I1I2I6I4I4I4' -- format, epoch, counter, newest thisUpdate, count, revoked count
local HEADER_SIZE = 21
local FORMAT = 1
local CHUNK = 4000 -- arguments a HSET; Lua's unpack gives up at 8000

-- A page as RESTORE takes it begins with the kind of value, a hash as a listpack, and the number of elements. The first
-- is the header's field, which is empty, and the second the header.
local HASH_LISTPACK = '\16\128'
local ELEMENTS = 11 -- where the number stands
local FIRST = 13 -- where the elements begin
local FIRST_OCTETS = '\128\1\149' -- nothing, its length backwards, then 128 + HEADER_SIZE

local WRITTEN, STALE, REVOKED_FELL, NO_HEADER, NOT_RESTORED = 0, 1, 2, 3, 4

local function number(text, bits, name)
  local value = tonumber(text)
  if not value or value < 0 or value >= 2 ^ bits or value % 1 ~= 0 then
    error({ err = 'ERR ocspeed: ' .. name .. ' is not a number of ' .. bits .. ' bits' })
  end
  return value
end

local function check(condition, message)
  if not condition then
    error({ err = 'ERR ocspeed: ' .. message })
  end
end

local function read_stamp(args)
  return {
    epoch = number(args[1], 16, 'epoch'),
    counter = number(args[2], 48, 'counter'),
    this_update = number(args[3], 32, 'thisUpdate'),
  }
end

-- What a header says, or nil for something else.
local function decode_header(value)
  if not value or #value ~= HEADER_SIZE or string.byte(value) ~= FORMAT then
    return nil
  end
  local header = { value = value }
  local _
  _, header.epoch, header.counter, header.this_update, header.count, header.revoked =
    struct.unpack(HEADER_LAYOUT, value)
  return header
end

-- The present header, or nil where there is none or it is damaged: such a page is to be written anew.
local function read_header(key)
  local value = redis.pcall('HGET', key, HEADER_FIELD)
  if type(value) == 'table' then
    if string.find(value.err, 'WRONGTYPE', 1, true) then
      return nil
    end
    error(value) -- above all a missing right: a page that cannot be read is not an absent one
  end
  return decode_header(value)
end

-- The header of a page that comes as RESTORE takes it; nil where it has none, or one that counts other records.
local function restored_header(page)
  local after = FIRST + #FIRST_OCTETS
  if string.sub(page, 1, 2) ~= HASH_LISTPACK or string.sub(page, FIRST, after - 1) ~= FIRST_OCTETS then
    return nil
  end
  local header = decode_header(string.sub(page, after, after + HEADER_SIZE - 1))
  if not header or struct.unpack('<I2', page, ELEMENTS) ~= 2 * (header.count + 1) then
    return nil
  end
  return header
end

local function encode_header(stamp, count, revoked)
  return struct.pack(HEADER_LAYOUT, FORMAT, stamp.epoch, stamp.counter, stamp.this_update, count, revoked)
end

-- Neither the generation nor thisUpdate is lower than the header's, and one is higher.
local function is_newer(stamp, header)
  local same = stamp.epoch == header.epoch and stamp.counter == header.counter
  local higher = stamp.epoch > header.epoch or (stamp.epoch == header.epoch and stamp.counter > header.counter)
  if same then
    return stamp.this_update > header.this_update
  end
  return higher and stamp.this_update >= header.this_update
end

local function is_revoked(record)
  return string.byte(record) % 2 == 1 -- bit 0 of the flags
end

local function check_field(serial, record)
  check(serial ~= HEADER_FIELD, 'a serial is empty; the header is written here')
  check(record ~= '', 'a record is empty')
end

-- How many of the named serials are revoked records of the page: by so many its revoked count may fall.
local function revoked_among(key, serials)
  local found = 0
  for serial in pairs(serials) do
    local record = redis.call('HGET', key, serial)
    if record and record ~= '' and is_revoked(record) then
      found = found + 1
    end
  end
  return found
end

-- The reply to a whole page that may not replace the present one; nil if it may.
local function guard(key, stamp, revoked, removed)
  local present = read_header(key)
  if not present then
    return nil
  end
  if not is_newer(stamp, present) then
    return { STALE, present.value }
  end
  if revoked < present.revoked and revoked < present.revoked - revoked_among(key, removed) then
    return { REVOKED_FELL, present.value }
  end
  return nil
end

-- FCALL ocspeed_page_put 1 page epoch counter thisUpdate removals [serial ...] [serial record ...]
-- Replaces a page whole. Replies with a status and the header that is in the page now.
local function page_put(keys, args)
  local key, stamp = keys[1], read_stamp(args)
  local first = 5 + number(args[4], 32, 'removals')
  check(first <= #args + 1 and (#args + 1 - first) % 2 == 0, 'serials and records do not come in pairs')
  local removed, revoked = {}, 0
  for index = 5, first - 1 do
    check(args[index] ~= HEADER_FIELD, 'a named removal is empty')
    removed[args[index]] = true
  end
  for index = first, #args, 2 do
    check_field(args[index], args[index + 1])
    check(not removed[args[index]], 'a named removal is among the records')
    if is_revoked(args[index + 1]) then
      revoked = revoked + 1
    end
  end
  local refused = guard(key, stamp, revoked, removed)
  if refused then
    return refused
  end
  local header = encode_header(stamp, (#args + 1 - first) / 2, revoked)
  redis.call('DEL', key)
  redis.call('HSET', key, HEADER_FIELD, header)
  for index = first, #args, CHUNK do
    redis.call('HSET', key, unpack(args, index, math.min(index + CHUNK - 1, #args)))
  end
  return { WRITTEN, header }
end

-- FCALL ocspeed_page_restore 1 page payload [serial ...]
-- The same for a page that comes as RESTORE takes it, with its header: a third of the work. The serials are named
-- removals. NOT_RESTORED, and nothing changed, where the server or the caller's rights have no such RESTORE.
local function page_restore(keys, args)
  local key, header = keys[1], args[1] and restored_header(args[1])
  check(header, 'not a page with its header')
  local removed = {}
  for index = 2, #args do
    check(args[index] ~= HEADER_FIELD, 'a named removal is empty')
    removed[args[index]] = true
  end
  local refused = guard(key, header, header.revoked, removed)
  if refused then
    return refused
  end
  local reply = redis.pcall('RESTORE', key, 0, args[1], 'REPLACE')
  if reply.err then
    return { NOT_RESTORED, '' }
  end
  for serial in pairs(removed) do
    if redis.call('HGET', key, serial) then
      redis.call('DEL', key) -- an absent page is a fault that is seen; a wrong one is answered from
      error({ err = 'ERR ocspeed: a named removal is among the records' })
    end
  end
  return { WRITTEN, header.value }
end

-- FCALL ocspeed_record_put 1 page epoch counter thisUpdate serial record
-- Writes one record of a page that has a header. Replies with a status and the header that is in the page now.
local function record_put(keys, args)
  local key, stamp = keys[1], read_stamp(args)
  local serial, record = args[4], args[5]
  check(#args == 5, 'one serial and one record are expected')
  check_field(serial, record)
  local present = read_header(key)
  if not present then
    return { NO_HEADER, '' }
  end
  if not is_newer(stamp, present) then
    return { STALE, present.value }
  end
  local old = redis.call('HGET', key, serial)
  local was_revoked = old and old ~= '' and is_revoked(old)
  if was_revoked and not is_revoked(record) then
    return { REVOKED_FELL, present.value }
  end
  local count = present.count + (old and 0 or 1)
  local revoked = present.revoked + ((is_revoked(record) and not was_revoked) and 1 or 0)
  local header = encode_header(stamp, count, revoked)
  redis.call('HSET', key, HEADER_FIELD, header, serial, record)
  return { WRITTEN, header }
end

-- FCALL_RO ocspeed_digest 0: SHA-256 of this file, filled in when it is loaded.
local function digest()
  return '@DIGEST@'
end

redis.register_function('ocspeed_page_put', page_put)
redis.register_function('ocspeed_page_restore', page_restore)
redis.register_function('ocspeed_record_put', record_put)
redis.register_function({ function_name = 'ocspeed_digest', callback = digest, flags = { 'no-writes' } })
