# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What a line's members mean, and that none occurs twice; what is known of a line once it is read.

A ``Line`` points into the line's bytes: it is good only until those are overwritten.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset
from finstream._decimals cimport Decimal
from finstream._json cimport decode_string, likely, text, unlikely, MAX_LINE, PADDING
from finstream._timestamps cimport END_OF_TIME, NOT_A_TIME, ZoneTable, read_whole_number, scaled_time

cdef enum:
    MAX_SYMBOL = 64
    MAX_TYPE = 64
    MAX_EXCHANGE = 64
    MAX_IDENTITY = 128
    # The shortest member, "":0 and a comma, has five bytes.
    MAX_MEMBERS = 13200
    FEW_MEMBERS = 12
    NAME_SLOTS = 32768

cdef enum Kind:
    IGNORED, REJECTED, TICK, OPAQUE, STATUS, HEARTBEAT

cdef enum:  # a member's meaning, Member.id
    # The six decimals first: they index Line.decimals.
    PRICE, VOLUME, BID_PRICE, BID_VOLUME, ASK_PRICE, ASK_VOLUME
    TYPE, SYMBOL, SIDE, TRADE_ID, EVENT_ID, EXCHANGE, TIMESTAMP
    NAMES
    UNKNOWN
    RESERVED

cdef enum:
    DECIMALS = 6

cdef struct Span:
    text start
    int length

cdef struct Member:
    Span name           # as written, without quotes
    Span value          # as written
    uint32_t hash       # of the decoded name, if it is unknown
    uint8_t id          # what it means
    bint escaped        # the name holds escapes

cdef struct Line:
    int kind            # a Kind
    int reason          # a Reason, if REJECTED
    uint32_t present    # one bit a meaning; null does not count
    Span type           # these four as written
    Span exchange
    Span trade_id
    Span event_id
    Span symbol         # decoded
    bint buy
    bint suspect        # a check of its asset's flagged it
    int64_t time        # ns
    text stamp          # the time as a whole number in the line, if that
    int stamp_digits    # has 10, 13, or 16 digits, those beyond the microseconds not counted; else NULL
    Decimal[DECIMALS] decimals
    int members
    int unknown

cdef struct Parser:
    # Working memory of one thread, owned by whoever parses.
    Member* members             # MAX_MEMBERS
    uint64_t* names             # NAME_SLOTS: generation << 32 | member + 1
    uint32_t generation
    uint32_t seed
    uint8_t* scratch            # 2 × MAX_LINE + PADDING: decoded strings
    uint8_t[MAX_LINE + PADDING] symbol
    ZoneTable zone


cdef inline int name_of(text p, int length) noexcept nogil:
    """Which member a decoded name means, its aliases included."""
    if length == 5:
        if memcmp(p, b"price", 5) == 0: return PRICE
        if memcmp(p, b"asset", 5) == 0: return RESERVED
    elif length == 6:
        if memcmp(p, b"symbol", 6) == 0: return SYMBOL
        if memcmp(p, b"volume", 6) == 0: return VOLUME
        if memcmp(p, b"source", 6) == 0: return EXCHANGE
    elif length == 2:
        if memcmp(p, b"ts", 2) == 0: return TIMESTAMP
    elif length == 3:
        if memcmp(p, b"bid", 3) == 0: return BID_PRICE
        if memcmp(p, b"ask", 3) == 0: return ASK_PRICE
        if memcmp(p, b"seq", 3) == 0: return RESERVED
        if memcmp(p, b"via", 3) == 0: return RESERVED
    elif length == 4:
        if memcmp(p, b"side", 4) == 0: return SIDE
        if memcmp(p, b"type", 4) == 0: return TYPE
        if memcmp(p, b"size", 4) == 0: return VOLUME
    elif length == 8:
        if memcmp(p, b"trade_id", 8) == 0: return TRADE_ID
        if memcmp(p, b"exchange", 8) == 0: return EXCHANGE
        if memcmp(p, b"ts_event", 8) == 0: return TIMESTAMP
        if memcmp(p, b"event_id", 8) == 0: return EVENT_ID
        if memcmp(p, b"bid_size", 8) == 0: return BID_VOLUME
        if memcmp(p, b"ask_size", 8) == 0: return ASK_VOLUME
    elif length == 9:
        if memcmp(p, b"bid_price", 9) == 0: return BID_PRICE
        if memcmp(p, b"ask_price", 9) == 0: return ASK_PRICE
        if memcmp(p, b"timestamp", 9) == 0: return TIMESTAMP
        if memcmp(p, b"simulated", 9) == 0: return RESERVED
        if memcmp(p, b"conflated", 9) == 0: return RESERVED
    elif length == 10:
        if memcmp(p, b"bid_volume", 10) == 0: return BID_VOLUME
        if memcmp(p, b"ask_volume", 10) == 0: return ASK_VOLUME
    elif length == 7:
        if memcmp(p, b"ts_recv", 7) == 0: return RESERVED
        if memcmp(p, b"quality", 7) == 0: return RESERVED
    return UNKNOWN


cdef inline uint32_t hash_of(const Parser* parser, text name, int length) noexcept nogil:
    cdef uint32_t hash = parser.seed
    cdef int i
    for i in range(length):
        hash = (hash ^ name[i]) * <uint32_t> 16777619
    return hash ^ hash >> 15


cdef inline bint same_name(Parser* parser, const Member* a, const Member* b) noexcept nogil:
    cdef text x = a.name.start, y = b.name.start
    cdef int m = a.name.length, n = b.name.length
    if a.hash != b.hash:
        return False
    if a.escaped:
        m = decode_string(x, m, parser.scratch)
        x = parser.scratch
    if b.escaped:
        n = decode_string(y, n, parser.scratch + MAX_LINE)
        y = parser.scratch + MAX_LINE
    return m == n and memcmp(x, y, m) == 0


cdef inline void remember_name(Parser* parser, int index) noexcept nogil:
    cdef uint32_t slot = parser.members[index].hash
    while True:
        slot &= NAME_SLOTS - 1
        if parser.names[slot] >> 32 != parser.generation:
            parser.names[slot] = <uint64_t> parser.generation << 32 | <uint32_t> (index + 1)
            return
        slot += 1


cdef inline bint is_repeated(Parser* parser, Line* line, int index) noexcept nogil:
    """Whether the unknown member at ``index`` has the name of an earlier one. A few are compared in turn, many go by a table."""
    cdef Member* member = &parser.members[index]
    cdef uint32_t slot
    cdef int i, other
    if line.unknown < FEW_MEMBERS:
        for i in range(index):
            if parser.members[i].id == UNKNOWN and same_name(parser, &parser.members[i], member):
                return True
        return False
    if line.unknown == FEW_MEMBERS:
        parser.generation += 1
        if parser.generation == 0:  # once in four billion such lines
            parser.generation = 1
            memset(parser.names, 0, NAME_SLOTS * sizeof(uint64_t))
        for i in range(index):
            if parser.members[i].id == UNKNOWN:
                remember_name(parser, i)
    slot = member.hash
    while True:
        slot &= NAME_SLOTS - 1
        if parser.names[slot] >> 32 != parser.generation:
            break
        other = <int> (<uint32_t> parser.names[slot]) - 1
        if same_name(parser, &parser.members[other], member):
            return True
        slot += 1
    remember_name(parser, index)
    return False


cdef inline bint is_symbol(text p, int length) noexcept nogil:
    cdef int i
    if not 1 <= length <= MAX_SYMBOL:
        return False
    for i in range(length):
        if p[i] < 0x20 or p[i] == 0x7f or p[i] == 0x22 or p[i] == 0x5c:
            return False
        if unlikely(p[i] == 0xc2) and i + 1 < length and p[i + 1] < 0xa0:  # U+0080 to U+009F are control characters, too
            return False
    return True


cdef inline bint is_stamped_by_ingestor(const Line* line, const Member* members) noexcept nogil:
    """Whether a quote says that its time is that of its receipt by the ingestor, for the venue gave it none."""
    cdef const Member* member
    cdef int i
    if likely(line.present & (1 << PRICE) or line.unknown == 0):
        return False
    for i in range(line.members):
        member = &members[i]
        if (member.id == UNKNOWN and member.name.length == 10 and member.value.length == 7
                and memcmp(member.name.start, b"quote_time", 10) == 0 and memcmp(member.value.start, b'"local"', 7) == 0):
            return True
    return False


cdef inline text read_whole_time(Line* line, text p) noexcept nogil:
    """A bare whole number, nearly every source's time stamp; NULL if it is anything else, or no time. What follows is not looked at."""
    cdef uint64_t value
    cdef int digits = read_whole_number(p, &value)
    if unlikely(digits == 0):
        return NULL
    # In whichever unit: as long as it is a time of these years, its digits are those of the microseconds.
    line.stamp = p
    if likely(digits == 19):
        line.time = <int64_t> value if value < <uint64_t> END_OF_TIME else NOT_A_TIME
        line.stamp_digits = 16
    else:
        line.time = scaled_time(value)
        line.stamp_digits = digits
        if digits != 16 and digits != 13 and digits != 10:
            line.stamp = NULL
    return p + digits if likely(line.time != NOT_A_TIME) else NULL
