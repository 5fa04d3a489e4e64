# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""A parsed line to the message that subscribers get, as a WebSocket text frame; docs/stream-protocol.md shows the message.

The frame is written with room for its longest header before the payload; the header is then put directly in front of it. So the
frame, and the payload alone for consumers of lines, are both one piece of memory.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from finstream._decimals cimport Decimal, format_decimal
from finstream._digits cimport put_integer
from finstream._json cimport copy_short, likely, text, unlikely
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
    int via_length
    uint8_t[MAX_LEAD] lead      # {"type":"tick","asset":"NAME","seq":
    uint8_t[MAX_LEAD] venue     # ","exchange":"NAME
    uint8_t[32] tail            # ,"simulated":true or nothing
    uint8_t[MAX_LEAD] asset     # ,"asset":"NAME","seq":
    uint8_t[MAX_LEAD] via       # ,"via":"NAME" or nothing


cdef struct Receipt:
    # What stands the same in all messages of one read.
    int64_t time
    int length
    uint8_t[64] words           # ,"ts_recv":1716230000123456 and perhaps ,"simulated":true


cdef extern from *:
    """
    #define FS_PUT(o, literal) (memcpy((o), (literal), sizeof(literal) - 1), (o) + sizeof(literal) - 1)
    /* A copy of what rarely has more than 48 bytes; may read and write up to 47 bytes more than it must. */
    static inline unsigned char *fs_put_long(unsigned char *o, const unsigned char *p, int length) {
      memcpy(o, p, 16); memcpy(o + 16, p + 16, 16); memcpy(o + 32, p + 32, 16);
      if (__builtin_expect(length > 48, 0)) memcpy(o + 48, p + 48, (size_t)(length - 48));
      return o + length;
    }
    """
    uint8_t* put "FS_PUT"(uint8_t* o, const char* literal) noexcept nogil
    uint8_t* put_long "fs_put_long"(uint8_t* o, text p, int length) noexcept nogil


cdef inline uint8_t* put_text(uint8_t* o, text p, int length) noexcept nogil:
    # There is slack on both sides: after the line, in the labels, after the message.
    copy_short(o, p, length)
    return o + length


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


cdef inline uint8_t* put_times(uint8_t* o, const Line* line, const Receipt* receipt) noexcept nogil:
    o = put(o, b',"ts_event":')
    if likely(line.stamp != NULL):
        memcpy(o, line.stamp, 16)
        memcpy(o + line.stamp_digits, b"000000", 6)
        o += 16
    else:
        o = put_integer(o, <uint64_t> (line.time // 1000))
    return put_long(o, receipt.words, receipt.length)


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


cdef inline uint8_t* put_opaque(
    uint8_t* o, const Line* line, const Member* members, const Label* label, uint64_t seq, const Receipt* receipt
) noexcept nogil:
    o = put(o, b'{"type":"')
    o = put_text(o, line.type.start, line.type.length)
    o = put(o, b'"')
    o = put_long(o, label.asset, label.asset_length)
    o = put_integer(o, seq)
    if line.present & (1 << SYMBOL):
        o = put(o, b',"symbol":"')
        o = put_text(o, line.symbol.start, line.symbol.length)
        o = put(o, b'"')
    o = put_times(o, line, receipt)
    o = put_members(o, line, members)
    o[0] = 0x7d
    return o + 1


cdef inline uint8_t* put_message(
    uint8_t* o, const Line* line, const Member* members, const Label* label, uint64_t seq, const Receipt* receipt
) noexcept nogil:
    """The message's JSON text from ``o`` on; returns its end. At most the line's length and MESSAGE_OVERHEAD."""
    cdef uint32_t present = line.present
    if unlikely(line.kind == OPAQUE):
        return put_opaque(o, line, members, label, seq, receipt)
    o = put_long(o, label.lead, label.lead_length)
    o = put_integer(o, seq)
    o = put(o, b',"symbol":"')
    o = put_text(o, line.symbol.start, line.symbol.length)
    # From here to the times all values are strings: the next piece ends the one before.
    if present & (1 << EXCHANGE):
        o = put(o, b'","exchange":"')
        o = put_text(o, line.exchange.start, line.exchange.length)
    else:
        o = put_long(o, label.venue, label.venue_length)
    if present & (1 << PRICE):
        o = put_decimal(put(o, b'","price":"'), &line.decimals[PRICE])
    if present & (1 << VOLUME):
        o = put_decimal(put(o, b'","volume":"'), &line.decimals[VOLUME])
    if present & (1 << SIDE):
        o = put(o, b'","side":"sell')
        if line.buy:
            o = put(o - 4, b'buy')
    if present & (1 << BID_PRICE):
        o = put_decimal(put(o, b'","bid_price":"'), &line.decimals[BID_PRICE])
    if present & (1 << BID_VOLUME):
        o = put_decimal(put(o, b'","bid_volume":"'), &line.decimals[BID_VOLUME])
    if present & (1 << ASK_PRICE):
        o = put_decimal(put(o, b'","ask_price":"'), &line.decimals[ASK_PRICE])
    if present & (1 << ASK_VOLUME):
        o = put_decimal(put(o, b'","ask_volume":"'), &line.decimals[ASK_VOLUME])
    if present & (1 << TRADE_ID):
        o = put_text(put(o, b'","trade_id":"'), line.trade_id.start, line.trade_id.length)
    if present & (1 << EVENT_ID):
        o = put_text(put(o, b'","event_id":"'), line.event_id.start, line.event_id.length)
    o = put_times(put(o, b'"'), line, receipt)
    if unlikely(line.suspect):
        o = put(o, b',"quality":"suspect"')
    if unlikely(label.via_length):
        o = put_long(o, label.via, label.via_length)
    if unlikely(line.unknown):
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
    label.venue_length = n
    label.tail_length = append(label.tail, 0, b',"simulated":true', 17) if simulated else 0


cdef inline void lend_label(Label* label, text name, int length) noexcept nogil:
    """Let the messages be somebody else's, whose name they tell."""
    cdef int n = append(label.venue, 0, b'","exchange":"', 14)
    label.venue_length = append(label.venue, n, <const char*> name, length)
    n = append(label.via, 0, b',"via":"', 8)
    n = append(label.via, n, <const char*> name, length)
    label.via_length = append(label.via, n, b'"', 1)


cdef inline void make_receipt(Receipt* receipt, int64_t received, const Label* label) noexcept nogil:
    cdef uint8_t* o = put(receipt.words, b',"ts_recv":')
    o = put_integer(o, <uint64_t> (received // 1000))
    o = put_text(o, label.tail, label.tail_length)
    receipt.length = <int> (o - receipt.words)
    receipt.time = received
