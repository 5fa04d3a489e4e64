# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""A parsed line to the message that subscribers get, as a WebSocket text frame; docs/stream-protocol.md shows the message.

The frame is written with room for its longest header before the payload; the header is then put directly in front of it. So the
frame, and the payload alone for consumers of lines, are both one piece of memory.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from finstream._json cimport copy_short, likely, text
from finstream._decimals cimport Decimal, format_decimal
from finstream._members cimport *

cdef enum:
    MAX_HEADER = 10
    # What a message may be longer than its line: header, names longer than their aliases, formatted decimals, times, the asset.
    MESSAGE_OVERHEAD = 1024
    MAX_LEAD = 128  # what stands in it, a name of 64 bytes included, and the slack of a short copy

cdef struct Label:
    # What stands the same in every message of an asset.
    int lead_length
    int venue_length
    int tail_length
    int asset_length
    uint8_t[MAX_LEAD] lead      # {"type":"tick","asset":"NAME","seq":
    uint8_t[MAX_LEAD] venue     # ","exchange":"NAME"
    uint8_t[32] tail            # ,"simulated":true or nothing
    uint8_t[MAX_LEAD] asset     # ,"asset":"NAME","seq":


cdef extern from *:
    """
    #define FS_PUT(o, literal) (memcpy((o), (literal), sizeof(literal) - 1), (o) + sizeof(literal) - 1)
    static const char FS_PAIRS[201] =
      "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
      "616263646566676869707172737475767778798081828384858687888990919293949596979899";
    static inline unsigned char *fs_put_integer(unsigned char *o, unsigned long long v) {
      unsigned char b[20]; int n = 20;
      while (v >= 100) { n -= 2; memcpy(b + n, FS_PAIRS + 2 * (v % 100), 2); v /= 100; }
      if (v >= 10) { n -= 2; memcpy(b + n, FS_PAIRS + 2 * v, 2); } else b[--n] = (unsigned char)('0' + v);
      memcpy(o, b + n, (size_t)(20 - n));
      return o + 20 - n;
    }
    static inline void fs_put_eight(unsigned char *o, uint32_t v) {
      uint32_t high = v / 10000, low = v % 10000;
      memcpy(o, FS_PAIRS + 2 * (high / 100), 2); memcpy(o + 2, FS_PAIRS + 2 * (high % 100), 2);
      memcpy(o + 4, FS_PAIRS + 2 * (low / 100), 2); memcpy(o + 6, FS_PAIRS + 2 * (low % 100), 2);
    }
    /* What a time in microseconds has from 2001 to 2286. */
    static inline unsigned char *fs_put_16_digits(unsigned char *o, unsigned long long v) {
      fs_put_eight(o, (uint32_t)(v / 100000000)); fs_put_eight(o + 8, (uint32_t)(v % 100000000));
      return o + 16;
    }
    """
    uint8_t* put_16_digits "fs_put_16_digits"(uint8_t* o, uint64_t value) noexcept nogil
    uint8_t* put "FS_PUT"(uint8_t* o, const char* literal) noexcept nogil
    uint8_t* put_integer "fs_put_integer"(uint8_t* o, uint64_t value) noexcept nogil


cdef inline uint8_t* put_text(uint8_t* o, text p, int length) noexcept nogil:
    # There is slack on both sides: after the line, in the labels, after the message.
    copy_short(o, p, length)
    return o + length


cdef inline uint8_t* put_time(uint8_t* o, uint64_t micros) noexcept nogil:
    if likely(1000000000000000ull <= micros < 10000000000000000ull):
        return put_16_digits(o, micros)
    return put_integer(o, micros)


cdef inline uint8_t* put_decimal(uint8_t* o, const Decimal* d) noexcept nogil:
    if likely(d.canonical != NULL):
        copy_short(o, d.canonical, d.length)
        return o + d.length
    return o + format_decimal(d, o)


cdef inline int put_header(uint8_t* payload, int64_t length, uint8_t opcode) noexcept nogil:
    """Write an unmasked frame header so that it ends where the payload starts; returns its length."""
    cdef int header = 2 if length < 126 else 4 if length < 65536 else 10, i
    cdef uint8_t* o = payload - header
    o[0] = 0x80 | opcode
    if header == 2:
        o[1] = <uint8_t> length
    elif header == 4:
        o[1] = 126
        o[2] = <uint8_t> (length >> 8)
        o[3] = <uint8_t> length
    else:
        o[1] = 127
        for i in range(8):
            o[2 + i] = <uint8_t> (length >> (56 - 8 * i))
    return header


cdef inline uint8_t* put_times(uint8_t* o, const Line* line, int64_t received, const Label* label) noexcept nogil:
    o = put(o, b',"ts_event":')
    o = put_time(o, <uint64_t> (line.time // 1000))
    o = put(o, b',"ts_recv":')
    o = put_time(o, <uint64_t> (received // 1000))
    return put_text(o, label.tail, label.tail_length) if label.tail_length else o


cdef inline uint8_t* put_members(uint8_t* o, const Line* line, const Member* members) noexcept nogil:
    """The members that are passed on unchanged, in their order: of a tick the unknown ones, else all but those that lead."""
    cdef const Member* member
    cdef int i
    for i in range(line.members):
        member = &members[i]
        if member.id != UNKNOWN:
            if line.kind == TICK or member.id == TYPE or member.id == SYMBOL or member.id == TIMESTAMP:
                continue
        o = put(o, b',"')
        o = put_text(o, member.name.start, member.name.length)
        o = put(o, b'":')
        o = put_text(o, member.value.start, member.value.length)
    return o


cdef inline uint8_t* put_message(
    uint8_t* o, const Line* line, const Member* members, const Label* label, uint64_t seq, int64_t received
) noexcept nogil:
    """The message's JSON text from ``o`` on; returns its end. At most the line's length and MESSAGE_OVERHEAD."""
    cdef uint32_t present = line.present
    if line.kind == OPAQUE:
        o = put(o, b'{"type":"')
        o = put_text(o, line.type.start, line.type.length)
        o = put(o, b'"')
        o = put_text(o, label.asset, label.asset_length)
        o = put_integer(o, seq)
        if present & (1 << SYMBOL):
            o = put(o, b',"symbol":"')
            o = put_text(o, line.symbol.start, line.symbol.length)
            o = put(o, b'"')
        o = put_times(o, line, received, label)
        o = put_members(o, line, members)
        o[0] = 0x7d
        return o + 1
    o = put_text(o, label.lead, label.lead_length)
    o = put_integer(o, seq)
    o = put(o, b',"symbol":"')
    o = put_text(o, line.symbol.start, line.symbol.length)
    if present & (1 << EXCHANGE):
        o = put(o, b'","exchange":"')
        o = put_text(o, line.exchange.start, line.exchange.length)
        o = put(o, b'"')
    else:
        o = put_text(o, label.venue, label.venue_length)
    if present & (1 << PRICE):
        o = put(o, b',"price":"')
        o = put_decimal(o, &line.decimals[PRICE])
        o = put(o, b'"')
    if present & (1 << VOLUME):
        o = put(o, b',"volume":"')
        o = put_decimal(o, &line.decimals[VOLUME])
        o = put(o, b'"')
    if present & (1 << SIDE):
        o = put(o, b',"side":"buy"') if line.buy else put(o, b',"side":"sell"')
    if present & (1 << BID_PRICE):
        o = put(o, b',"bid_price":"')
        o = put_decimal(o, &line.decimals[BID_PRICE])
        o = put(o, b'"')
    if present & (1 << BID_VOLUME):
        o = put(o, b',"bid_volume":"')
        o = put_decimal(o, &line.decimals[BID_VOLUME])
        o = put(o, b'"')
    if present & (1 << ASK_PRICE):
        o = put(o, b',"ask_price":"')
        o = put_decimal(o, &line.decimals[ASK_PRICE])
        o = put(o, b'"')
    if present & (1 << ASK_VOLUME):
        o = put(o, b',"ask_volume":"')
        o = put_decimal(o, &line.decimals[ASK_VOLUME])
        o = put(o, b'"')
    if present & (1 << TRADE_ID):
        o = put(o, b',"trade_id":"')
        o = put_text(o, line.trade_id.start, line.trade_id.length)
        o = put(o, b'"')
    if present & (1 << EVENT_ID):
        o = put(o, b',"event_id":"')
        o = put_text(o, line.event_id.start, line.event_id.length)
        o = put(o, b'"')
    o = put_times(o, line, received, label)
    if line.unknown:
        o = put_members(o, line, members)
    o[0] = 0x7d
    return o + 1


cdef inline int append(uint8_t* o, int at, const char* literal, int length) noexcept nogil:
    memcpy(o + at, literal, length)
    return at + length


cdef inline void make_label(Label* label, text name, int length, bint simulated) noexcept nogil:
    """``name`` has at most 64 bytes and needs no escaping."""
    cdef int n = append(label.lead, 0, b'{"type":"tick"', 14)
    cdef int m = append(label.asset, 0, b',"asset":"', 10)
    m = append(label.asset, m, <const char*> name, length)
    label.asset_length = append(label.asset, m, b'","seq":', 8)
    label.lead_length = append(label.lead, n, <const char*> label.asset, label.asset_length)
    n = append(label.venue, 0, b'","exchange":"', 14)
    n = append(label.venue, n, <const char*> name, length)
    label.venue_length = append(label.venue, n, b'"', 1)
    label.tail_length = append(label.tail, 0, b',"simulated":true', 17) if simulated else 0
