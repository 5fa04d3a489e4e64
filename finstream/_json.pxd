# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""JSON by bytes: strings, numbers and whole values are scanned and checked in place, nothing is built.

Every function takes ``p``, where to go on, and ``end``, the end of the line. The byte at ``end`` is a line feed, and at least
``PADDING`` readable bytes follow it: loops may therefore stop at a byte value instead of counting, and read eight bytes at once.
Each returns where its piece ends, or NULL with a reason in ``why``. The first offending byte, from left to right, decides.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

ctypedef const uint8_t* text

cdef enum:
    PADDING = 64
    MAX_DEPTH = 64
    MAX_LINE = 65536

cdef enum Reason:
    LINE_TOO_LONG, UNTERMINATED_LINE, NOT_JSON, INVALID_UTF8, INVALID_ESCAPE, CONTROL_CHARACTER, TOO_DEEP, DUPLICATE_MEMBER
    RESERVED_MEMBER, INVALID_TYPE, MISSING_SYMBOL, INVALID_SYMBOL, MISSING_PRICE, INVALID_DECIMAL, DECIMAL_OUT_OF_RANGE
    PRICE_NOT_POSITIVE, NEGATIVE_VALUE, MISSING_TIMESTAMP, INVALID_TIMESTAMP, TIMESTAMP_IN_FUTURE, TIMESTAMP_TOO_OLD, INVALID_SIDE
    INVALID_IDENTITY, INVALID_EXCHANGE
    DUPLICATE, OUT_OF_ORDER, PRICE_ANOMALY, CROSSED_QUOTE  # in the order of the checks in _quality
    REASONS

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Bytes at which scanning a string has to look closer: quote, backslash, control characters, everything beyond ASCII. */
    static const unsigned char FS_STRING_STOP[256] = {[0 ... 0x1f] = 1, ['"'] = 1, ['\\\\'] = 1, [0x80 ... 0xff] = 1};
    /* A short copy without a call; may read and write up to 31 bytes more than it must. */
    static inline void fs_copy_short(unsigned char *o, const unsigned char *p, int length) {
      memcpy(o, p, 16);
      if (length > 16) { memcpy(o + 16, p + 16, 16); if (length > 32) memcpy(o + 32, p + 32, (size_t)(length - 32)); }
    }
    #define fs_likely(x) __builtin_expect(!!(x), 1)
    #define fs_unlikely(x) __builtin_expect(!!(x), 0)
    """
    const uint8_t* STRING_STOP "FS_STRING_STOP"
    void copy_short "fs_copy_short"(uint8_t* o, text p, int length) noexcept nogil
    bint likely "fs_likely"(bint) noexcept nogil
    bint unlikely "fs_unlikely"(bint) noexcept nogil


cdef inline text skip_space(text p) noexcept nogil:
    # The line feed at the end is not skipped: it is the sentinel.
    while p[0] == 0x20 or p[0] == 0x09 or p[0] == 0x0d:
        p += 1
    return p


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return <uint8_t> (c - 0x30) < 10


cdef inline int hex_value(uint8_t c) noexcept nogil:
    if is_digit(c):
        return c - 0x30
    c |= 0x20
    if 0x61 <= c <= 0x66:
        return c - 0x61 + 10
    return -1


cdef inline int hex4(text p, text end, int* why) noexcept nogil:
    """Four hexadecimal digits; -1 with a reason if they are not."""
    cdef int value = 0, i, digit
    for i in range(4):
        digit = hex_value(p[i])
        if digit < 0:
            why[0] = NOT_JSON if p + i >= end else INVALID_ESCAPE
            return -1
        value = value << 4 | digit
    return value


cdef inline text scan_escape(text p, text end, int* why) noexcept nogil:
    """``p`` is at the backslash."""
    cdef int unit
    cdef uint8_t c = p[1]
    if c == 0x22 or c == 0x5c or c == 0x2f or c == 0x62 or c == 0x66 or c == 0x6e or c == 0x72 or c == 0x74:
        return p + 2
    if c != 0x75:  # u
        why[0] = NOT_JSON if p + 1 >= end else INVALID_ESCAPE
        return NULL
    unit = hex4(p + 2, end, why)
    if unit < 0:
        return NULL
    p += 6
    if unit < 0xd800 or unit > 0xdfff:
        return p
    if unit > 0xdbff or p[0] != 0x5c or p[1] != 0x75:
        why[0] = NOT_JSON if unit <= 0xdbff and (p >= end or (p[0] == 0x5c and p + 1 >= end)) else INVALID_ESCAPE
        return NULL
    unit = hex4(p + 2, end, why)
    if unit < 0:
        return NULL
    if unit < 0xdc00 or unit > 0xdfff:
        why[0] = INVALID_ESCAPE
        return NULL
    return p + 6


cdef inline text scan_utf8(text p, text end, int* why) noexcept nogil:
    """One character beyond ASCII: shortest form, no surrogates, up to U+10FFFF. The table is that of RFC 3629."""
    cdef uint8_t a = p[0], low = 0x80, high = 0xbf
    cdef int length = 2 if 0xc2 <= a <= 0xdf else 3 if 0xe0 <= a <= 0xef else 4 if 0xf0 <= a <= 0xf4 else 0, i
    why[0] = INVALID_UTF8
    if length == 0:
        return NULL
    if a == 0xe0:
        low = 0xa0
    elif a == 0xed:
        high = 0x9f
    elif a == 0xf0:
        low = 0x90
    elif a == 0xf4:
        high = 0x8f
    for i in range(1, length):
        if not low <= p[i] <= high:
            if p + i >= end:
                why[0] = NOT_JSON
            return NULL
        low = 0x80
        high = 0xbf
    return p + length


cdef inline text scan_string(text p, text end, bint* escaped, int* why) noexcept nogil:
    """``p`` is after the opening quote; returns the closing quote. ``escaped`` is set if there is an escape, else left alone."""
    while True:
        while not STRING_STOP[p[0]]:
            p += 1
        if likely(p[0] == 0x22):
            return p
        if p[0] == 0x5c:
            escaped[0] = True
            p = scan_escape(p, end, why)
        elif p[0] < 0x20:
            why[0] = NOT_JSON if p >= end else CONTROL_CHARACTER
            return NULL
        else:
            p = scan_utf8(p, end, why)
        if p == NULL:
            return NULL


cdef inline text scan_number(text p) noexcept nogil:
    """JSON's number grammar; NULL if it is broken. What follows the number is the caller's business."""
    if p[0] == 0x2d:  # -
        p += 1
    if p[0] == 0x30:
        p += 1
    elif is_digit(p[0]):
        while is_digit(p[0]):
            p += 1
    else:
        return NULL
    if p[0] == 0x2e:  # .
        p += 1
        if not is_digit(p[0]):
            return NULL
        while is_digit(p[0]):
            p += 1
    if p[0] | 0x20 == 0x65:  # e
        p += 1
        if p[0] == 0x2b or p[0] == 0x2d:
            p += 1
        if not is_digit(p[0]):
            return NULL
        while is_digit(p[0]):
            p += 1
    return p


cdef inline text scan_member_name(text p, text end, int* why) noexcept nogil:
    """``"name" :`` with white space; returns the first byte of the value."""
    cdef bint escaped = False
    if p[0] != 0x22:
        why[0] = NOT_JSON
        return NULL
    p = scan_string(p + 1, end, &escaped, why)
    if p == NULL:
        return NULL
    p = skip_space(p + 1)
    if p[0] != 0x3a:
        why[0] = NOT_JSON
        return NULL
    return skip_space(p + 1)


cdef inline text skip_value(text p, text end, int* why) noexcept nogil:
    """Any value, one level below the line's own object; nesting is kept in the bits of a word, 1 for an object."""
    cdef uint64_t stack = 0
    cdef int depth = 1
    cdef bint escaped = False
    while True:
        if p[0] == 0x22:
            p = scan_string(p + 1, end, &escaped, why)
            if p == NULL:
                return NULL
            p += 1
        elif p[0] == 0x7b or p[0] == 0x5b:
            if depth == MAX_DEPTH:
                why[0] = TOO_DEEP
                return NULL
            depth += 1
            stack = stack << 1 | (p[0] == 0x7b)
            p = skip_space(p + 1)
            if stack & 1:
                if p[0] != 0x7d:
                    p = scan_member_name(p, end, why)
                    if p == NULL:
                        return NULL
                    continue
            elif p[0] != 0x5d:
                continue
            p += 1
            depth -= 1
            stack >>= 1
        elif p[0] == 0x2d or is_digit(p[0]):
            p = scan_number(p)
            if p == NULL:
                why[0] = NOT_JSON
                return NULL
        elif memcmp(p, b"true", 4) == 0 or memcmp(p, b"null", 4) == 0:
            p += 4
        elif memcmp(p, b"false", 5) == 0:
            p += 5
        else:
            why[0] = NOT_JSON
            return NULL
        while True:  # a value is complete: close what ends here, or go on to the next one
            if depth == 1:
                return p
            p = skip_space(p)
            if p[0] == 0x2c:
                p = skip_space(p + 1)
                if stack & 1:
                    p = scan_member_name(p, end, why)
                    if p == NULL:
                        return NULL
                break
            if p[0] != (0x7d if stack & 1 else 0x5d):
                why[0] = NOT_JSON
                return NULL
            p += 1
            depth -= 1
            stack >>= 1


cdef inline int put_utf8(uint8_t* o, uint32_t c) noexcept nogil:
    if c < 0x80:
        o[0] = <uint8_t> c
        return 1
    if c < 0x800:
        o[0] = <uint8_t> (0xc0 | c >> 6)
        o[1] = <uint8_t> (0x80 | (c & 0x3f))
        return 2
    if c < 0x10000:
        o[0] = <uint8_t> (0xe0 | c >> 12)
        o[1] = <uint8_t> (0x80 | (c >> 6 & 0x3f))
        o[2] = <uint8_t> (0x80 | (c & 0x3f))
        return 3
    o[0] = <uint8_t> (0xf0 | c >> 18)
    o[1] = <uint8_t> (0x80 | (c >> 12 & 0x3f))
    o[2] = <uint8_t> (0x80 | (c >> 6 & 0x3f))
    o[3] = <uint8_t> (0x80 | (c & 0x3f))
    return 4


cdef inline int decode_string(text p, int length, uint8_t* o) noexcept nogil:
    """Resolve the escapes of a string that ``scan_string`` accepted; ``o`` needs ``length`` bytes. Returns how many it got."""
    cdef text stop = p + length
    cdef uint8_t* start = o
    cdef int why = 0, unit, low
    cdef uint8_t c
    while p < stop:
        if p[0] != 0x5c:
            o[0] = p[0]
            o += 1
            p += 1
            continue
        c = p[1]
        if c == 0x75:
            unit = hex4(p + 2, stop, &why)
            p += 6
            if 0xd800 <= unit <= 0xdbff:
                low = hex4(p + 2, stop, &why)
                p += 6
                unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            o += put_utf8(o, <uint32_t> unit)
            continue
        p += 2
        if c == 0x62:
            c = 0x08
        elif c == 0x66:
            c = 0x0c
        elif c == 0x6e:
            c = 0x0a
        elif c == 0x72:
            c = 0x0d
        elif c == 0x74:
            c = 0x09
        o[0] = c
        o += 1
    return <int> (o - start)
