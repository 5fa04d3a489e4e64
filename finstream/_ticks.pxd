# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""One line of an ingestor to one checked, normalised tick; docs/ingestor-protocol.md has the rules.

One pass reads the line from left to right. Members that the engine knows are read as what they must be; when one is not, that
is only remembered, for the line may turn out to be of a type that has no such members. What the line is, and whether it is
good, is decided at its end, so the order of the members never matters.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset
from finstream._json cimport *
from finstream._decimals cimport Decimal, is_zero, parse_any_decimal, parse_decimal
from finstream._members cimport *
from finstream._timestamps cimport NOT_A_TIME, read_time


cdef inline text read_decimal(Parser* parser, text p, text end, Decimal* out, int* why, int* wrong) noexcept nogil:
    """A decimal, bare or quoted. Returns where the value ends, or NULL with ``why``; ``wrong`` tells what is the matter with it."""
    cdef text q, after
    cdef bint escaped = False
    cdef int n
    if p[0] != 0x22:
        q = parse_decimal(p, out, wrong)
        if q == NULL:
            q = skip_value(p, end, why)
        return q
    q = parse_decimal(p + 1, out, wrong)
    if likely(q != NULL and q[0] == 0x22):
        return q + 1
    wrong[0] = INVALID_DECIMAL
    q = scan_string(p + 1, end, &escaped, why)
    if q == NULL:
        return NULL
    if escaped:
        n = decode_string(p + 1, <int> (q - p - 1), parser.scratch)
        parser.scratch[n] = 0
        wrong[0] = -1
        after = parse_any_decimal(parser.scratch, out, wrong)  # it points at nothing, and this memory does not last
        if after != parser.scratch + n:
            wrong[0] = INVALID_DECIMAL
    return q + 1


cdef inline text read_timestamp(Parser* parser, Line* line, text p, text end, int* why) noexcept nogil:
    cdef text q
    cdef bint escaped = False, quoted = p[0] == 0x22
    cdef int n
    line.time = NOT_A_TIME
    line.stamp = NULL
    if not quoted:
        q = read_whole_time(line, p)
        if likely(q != NULL and q[0] != 0x2e and q[0] | 0x20 != 0x65):
            return q
        line.time = NOT_A_TIME
        line.stamp = NULL
        q = skip_value(p, end, why)
        if q != NULL and (p[0] == 0x2d or is_digit(p[0])):
            line.time = read_time(p, q, False, &parser.zone)
        return q
    q = scan_string(p + 1, end, &escaped, why)
    if q == NULL:
        return NULL
    if escaped:
        n = decode_string(p + 1, <int> (q - p - 1), parser.scratch)
        memset(parser.scratch + n, 0, PADDING)
        line.time = read_time(parser.scratch, parser.scratch + n, True, &parser.zone)
    else:
        line.time = read_time(p + 1, q, True, &parser.zone)
    return q + 1


cdef inline bint spells(Parser* parser, Span s, const char* word, int length) noexcept nogil:
    """Whether a string, its escapes resolved, is ``word``."""
    cdef int n
    if s.length == length and memcmp(s.start, word, length) == 0:
        return True
    if s.length <= length or s.length > 6 * length:
        return False
    n = decode_string(s.start, s.length, parser.scratch)
    return n == length and memcmp(parser.scratch, word, length) == 0


cdef inline bint is_ours(Parser* parser, Span s) noexcept nogil:
    """The types of the engine's own messages, which a source must not imitate."""
    return (
        spells(parser, s, b"welcome", 7) or spells(parser, s, b"subscribed", 10) or spells(parser, s, b"unsubscribed", 12)
        or spells(parser, s, b"pong", 4) or spells(parser, s, b"asset", 5) or spells(parser, s, b"health", 6)
        or spells(parser, s, b"gap", 3) or spells(parser, s, b"error", 5) or spells(parser, s, b"goodbye", 7)
        or spells(parser, s, b"warning", 7) or spells(parser, s, b"switch", 6)
    )


cdef inline text read_text(Parser* parser, Line* line, int name, text p, text end, int* why, int* wrong) noexcept nogil:
    """The members that are strings: type, symbol, side, identities and exchange."""
    cdef Span s
    cdef bint escaped = False
    cdef int n
    cdef text q
    if p[0] != 0x22:
        q = skip_value(p, end, why)
        if q == NULL:
            return NULL
        s.start = p
        s.length = <int> (q - p)
        # An identity may be an integer: no point, no exponent.
        if (name == TRADE_ID or name == EVENT_ID) and (is_digit(p[0]) or p[0] == 0x2d) and s.length <= MAX_IDENTITY:
            for n in range(1, s.length):
                if not is_digit(p[n]):
                    wrong[0] = INVALID_IDENTITY
                    return q
            if name == TRADE_ID:
                line.trade_id = s
            else:
                line.event_id = s
            return q
        wrong[0] = (INVALID_TYPE if name == TYPE else INVALID_SYMBOL if name == SYMBOL else INVALID_SIDE if name == SIDE
                    else INVALID_EXCHANGE if name == EXCHANGE else INVALID_IDENTITY)
        return q
    s.start = p + 1
    q = scan_string(s.start, end, &escaped, why)
    if q == NULL:
        return NULL
    s.length = <int> (q - s.start)
    if name == SYMBOL:
        if unlikely(escaped):
            s.length = decode_string(s.start, s.length, parser.symbol)
            s.start = parser.symbol
        line.symbol = s
        if not is_symbol(s.start, s.length):
            wrong[0] = INVALID_SYMBOL
    elif name == TYPE:
        line.type = s
        if not 1 <= s.length <= MAX_TYPE:
            wrong[0] = INVALID_TYPE
    elif name == SIDE:
        line.buy = spells(parser, s, b"buy", 3)
        if not line.buy and not spells(parser, s, b"sell", 4):
            wrong[0] = INVALID_SIDE
    elif name == EXCHANGE:
        line.exchange = s
        if not 1 <= s.length <= MAX_EXCHANGE:
            wrong[0] = INVALID_EXCHANGE
    else:
        if name == TRADE_ID:
            line.trade_id = s
        else:
            line.event_id = s
        if not 1 <= s.length <= MAX_IDENTITY:
            wrong[0] = INVALID_IDENTITY
    return q + 1


cdef inline int reject(Line* line, int reason) noexcept nogil:
    line.kind = REJECTED
    line.reason = reason
    return REJECTED


cdef inline int check_time(Line* line, int64_t received, int64_t future, int64_t max_age) noexcept nogil:
    if line.time == NOT_A_TIME:
        return INVALID_TIMESTAMP
    if future >= 0 and line.time - received > future:
        return TIMESTAMP_IN_FUTURE
    if max_age >= 0 and received - line.time > max_age:
        return TIMESTAMP_TOO_OLD
    return -1


cdef inline int read_line(
    Parser* parser, Line* line, text p, text end, int64_t received, int64_t future, int64_t max_age
) noexcept nogil:
    """Read the line from ``p`` to ``end``; returns its Kind.

    ``received`` is the time of receipt, ``future`` and ``max_age`` the bounds of the stamp's distance from it, all in ns; negative
    bounds are none.
    """
    cdef int why = NOT_JSON, wrong = -1, name, n
    cdef uint32_t bit = 0, seen = 0, faulty = 0
    cdef int[NAMES] faults
    cdef text q, key
    cdef Member* member
    cdef Decimal* decimal
    line.present = 0
    line.members = line.unknown = 0

    # --- the line as JSON ------------------------------------------------------------------------------------------------
    p = skip_space(p)
    if p == end:
        line.kind = IGNORED
        return IGNORED
    if p[0] != 0x7b:
        return reject(line, NOT_JSON)
    p = skip_space(p + 1)
    if p[0] == 0x7d:
        p += 1
    else:
        while True:
            member = &parser.members[line.members]
            member.name.start = p + 1
            member.escaped = False
            if p[0] != 0x22:
                return reject(line, NOT_JSON)
            q = scan_string(p + 1, end, &member.escaped, &why)
            if q == NULL:
                return reject(line, why)
            member.name.length = n = <int> (q - p - 1)
            key = p + 1
            if unlikely(member.escaped):
                n = decode_string(key, n, parser.scratch)
                key = parser.scratch
            name = name_of(key, n)
            member.id = <uint8_t> name
            if likely(name < NAMES):
                bit = <uint32_t> 1 << name
                if seen & bit:
                    return reject(line, DUPLICATE_MEMBER)
                seen |= bit
            elif name == RESERVED:
                return reject(line, RESERVED_MEMBER)
            else:
                member.hash = hash_of(parser, key, n)
                if is_repeated(parser, line, line.members):
                    return reject(line, DUPLICATE_MEMBER)
                line.unknown += 1
            p = skip_space(q + 1)
            if p[0] != 0x3a:
                return reject(line, NOT_JSON)
            p = skip_space(p + 1)
            member.value.start = p
            if name >= NAMES:
                p = skip_value(p, end, &why)
            elif p[0] == 0x6e and memcmp(p, b"null", 4) == 0:  # null: as if it were not there
                p += 4
                bit = 0
            else:
                wrong = -1
                if name < DECIMALS:
                    p = read_decimal(parser, p, end, &line.decimals[name], &why, &wrong)
                elif name == TIMESTAMP:
                    p = read_timestamp(parser, line, p, end, &why)
                else:
                    p = read_text(parser, line, name, p, end, &why, &wrong)
                if unlikely(wrong >= 0):
                    faulty |= bit
                    faults[name] = wrong
            if p == NULL:
                return reject(line, why)
            if name < NAMES:
                line.present |= bit
            member.value.length = <int> (p - member.value.start)
            line.members += 1
            p = skip_space(p)
            if p[0] == 0x2c:
                p = skip_space(p + 1)
            elif p[0] == 0x7d:
                p += 1
                break
            else:
                return reject(line, NOT_JSON)
    if skip_space(p) != end:
        return reject(line, NOT_JSON)

    # --- what kind of line it is -----------------------------------------------------------------------------------------
    line.kind = TICK
    if line.present & (1 << TYPE):
        if faulty & (1 << TYPE):
            return reject(line, INVALID_TYPE)
        if spells(parser, line.type, b"heartbeat", 9):
            line.kind = HEARTBEAT
            return HEARTBEAT
        if spells(parser, line.type, b"status", 6):
            line.kind = STATUS
            return STATUS
        if not spells(parser, line.type, b"tick", 4):
            if is_ours(parser, line.type):
                return reject(line, INVALID_TYPE)
            line.kind = OPAQUE
    if not line.present & (1 << SYMBOL):
        if line.kind == TICK:
            return reject(line, MISSING_SYMBOL)
    elif faulty & (1 << SYMBOL):
        return reject(line, INVALID_SYMBOL)

    # --- what a tick must hold -------------------------------------------------------------------------------------------
    if line.kind == TICK:
        for name in range(DECIMALS):
            if not line.present & (1 << name):
                continue
            if unlikely(faulty & (1 << name)):
                return reject(line, faults[name])
            decimal = &line.decimals[name]
            if name == PRICE:
                if unlikely(decimal.negative or is_zero(decimal)):
                    return reject(line, PRICE_NOT_POSITIVE)
            elif unlikely(decimal.negative):
                return reject(line, NEGATIVE_VALUE)
        if unlikely(faulty):
            if faulty & (1 << SIDE):
                return reject(line, INVALID_SIDE)
            if faulty & (1 << TRADE_ID | 1 << EVENT_ID):
                return reject(line, INVALID_IDENTITY)
            if faulty & (1 << EXCHANGE):
                return reject(line, INVALID_EXCHANGE)
    if not line.present & (1 << TIMESTAMP):
        return reject(line, MISSING_TIMESTAMP)
    why = check_time(line, received, future, max_age)
    if unlikely(why >= 0):
        return reject(line, why)
    if line.kind == TICK and not line.present & ((1 << DECIMALS) - 1 - (1 << VOLUME)):
        return reject(line, MISSING_PRICE)
    return line.kind
