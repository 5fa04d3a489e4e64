# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Exact decimals: an integer mantissa of up to 96 bits and a scale of 0 to 28, never a float.

A decimal's canonical text has no exponent, no trailing zeros after the point and no negative zero. Nearly always that text
already stands in the line; then it is only pointed at.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from finstream._json cimport is_digit, likely, text, unlikely, DECIMAL_OUT_OF_RANGE, INVALID_DECIMAL
from finstream._scans cimport bytes_equal, highest_bit, lowest_bit, non_digits, outside

cdef extern from *:
    """
    typedef unsigned __int128 fs_u128;
    static const unsigned long long FS_POWER_OF_TEN[20] = {
      1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull, 10000000000ull,
      100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull, 10000000000000000ull,
      100000000000000000ull, 1000000000000000000ull, 10000000000000000000ull};
    """
    ctypedef unsigned long long u128 "fs_u128"
    const uint64_t* POWER_OF_TEN "FS_POWER_OF_TEN"

cdef enum:
    MAX_SCALE = 28
    MAX_MANTISSA_DIGITS = 29
    MAX_DECIMAL_TEXT = 40
    CERTAIN_TO_FIT = 28     # digits, which are less than 2**96 whatever they are

cdef struct Decimal:
    text canonical      # its text in the line; NULL: format_decimal must write it
    int length
    uint8_t negative
    # Only of a decimal without canonical text:
    uint8_t scale
    uint32_t high       # the mantissa's upper 32 bits
    uint64_t low        # its lower 64

cdef struct Digits:
    # A number of any length as JSON writes it: 0.d1d2…dn × 10^point, d1 and dn not zero; count 0 is zero.
    text first
    text last
    int count           # of the digits from first to last, a point between them not counted
    int64_t point
    bint negative


cdef inline text scan_digits(text p, Digits* d) noexcept nogil:
    """Any number of JSON's grammar, however long; NULL if the grammar is broken."""
    cdef text start, q
    cdef int64_t exponent = 0
    cdef int whole, leading = 0
    cdef bint negative_exponent
    d.negative = p[0] == 0x2d
    if d.negative:
        p += 1
    start = p
    d.first = d.last = NULL
    d.point = 0
    d.count = 0
    if p[0] == 0x30:
        p += 1
    elif is_digit(p[0]):
        while is_digit(p[0]):
            p += 1
    else:
        return NULL
    whole = <int> (p - start)
    if p[0] == 0x2e:
        p += 1
        if not is_digit(p[0]):
            return NULL
        while is_digit(p[0]):
            p += 1
    q = start
    while q < p and (q[0] == 0x30 or q[0] == 0x2e):
        leading += q[0] == 0x30
        q += 1
    if q < p:
        d.first = q
        q = p - 1
        while q[0] == 0x30 or q[0] == 0x2e:
            q -= 1
        d.last = q
        d.count = <int> (d.last - d.first) + 1
        if d.first < start + whole < d.last:
            d.count -= 1
    if p[0] | 0x20 == 0x65:
        p += 1
        negative_exponent = p[0] == 0x2d
        if p[0] == 0x2b or p[0] == 0x2d:
            p += 1
        if not is_digit(p[0]):
            return NULL
        while is_digit(p[0]):
            if exponent < 1000000000:  # far beyond any range, far from overflowing
                exponent = exponent * 10 + (p[0] - 0x30)
            p += 1
        if negative_exponent:
            exponent = -exponent
    d.point = whole - leading + exponent
    return p


cdef inline text parse_any_decimal(text p, Decimal* out, int* why) noexcept nogil:
    """The general case: many digits, or an exponent."""
    cdef Digits d
    cdef u128 mantissa = 0
    cdef int64_t zeros, scale
    cdef text q
    p = scan_digits(p, &d)
    if p == NULL:
        why[0] = INVALID_DECIMAL
        return NULL
    out.canonical = NULL
    out.low = out.high = out.scale = 0
    out.negative = False
    if d.count == 0:
        return p
    scale = d.count - d.point
    zeros = -scale if scale < 0 else 0
    if d.count + zeros > MAX_MANTISSA_DIGITS or scale > MAX_SCALE:
        why[0] = DECIMAL_OUT_OF_RANGE
        return p
    q = d.first
    while q <= d.last:
        if q[0] != 0x2e:
            mantissa = mantissa * 10 + (q[0] - 0x30)
        q += 1
    while zeros > 0:
        mantissa = mantissa * 10
        zeros -= 1
    if mantissa >> 96:
        why[0] = DECIMAL_OUT_OF_RANGE
        return p
    out.low = <uint64_t> mantissa
    out.high = <uint32_t> (mantissa >> 64)
    out.scale = <uint8_t> (scale if scale > 0 else 0)
    out.negative = d.negative
    return p


cdef inline int read_plain_decimal(text p, Decimal* out) noexcept nogil:
    """Read digits, perhaps with a point among them, at ``p``: nearly every price and size is that.

    Returns how many bytes that is; what follows them is the caller's business, an exponent, for one. 0 if it is anything
    else: no such number, more digits than are certain to fit, or more bytes than are looked at.
    """
    cdef uint32_t others = non_digits(p), stops = outside(p, 0x2e, 0x39)  # a point, a slash and the digits
    if likely(stops):
        return plain_decimal_of(p, others, stops, out)
    others |= non_digits(p + 16) << 16
    stops = outside(p + 16, 0x2e, 0x39) << 16
    if stops == 0 or plain_decimal_of(p, others, stops, out) == 0 or out.length > CERTAIN_TO_FIT:
        return 0
    return lowest_bit(stops)


cdef inline int plain_decimal_of(text p, uint32_t others, uint32_t stops, Decimal* out) noexcept nogil:
    cdef int length = lowest_bit(stops), whole = lowest_bit(others)
    if likely(p[whole] == 0x2e):
        if unlikely((lowest_bit(others & (others - 1)) != length) | (length == whole + 1)):
            return 0
    elif unlikely(whole != length):
        return 0
    # Whether a price is less than 1 cannot be foretold: no branch for that.
    if unlikely((whole == 0) | (p[0] == 0x30) & (whole > 1)):
        return 0
    out.canonical = p
    out.length = length
    if unlikely((p[length - 1] == 0x30) & (length > whole)):
        drop_zeros(out)
    return length


cdef inline void drop_zeros(Decimal* d) noexcept nogil:
    """Those at the end, of a text of up to 32 bytes that has a point."""
    cdef uint32_t zeros = bytes_equal(d.canonical, 0x30) | bytes_equal(d.canonical + 16, 0x30) << 16
    cdef int last = highest_bit(~zeros & (~<uint32_t> 0 >> (32 - d.length)))
    d.length = last + (d.canonical[last] != 0x2e)


cdef inline bint is_zero(const Decimal* d) noexcept nogil:
    if likely(d.canonical != NULL):
        return d.length == 1 and d.canonical[0] == 0x30
    return d.low == 0 and d.high == 0


cdef inline text parse_decimal(text p, Decimal* out, int* why) noexcept nogil:
    """Read the number at ``p``.

    Returns where it ends; NULL with INVALID_DECIMAL if there is none. ``why`` becomes DECIMAL_OUT_OF_RANGE for a number that does
    not fit, else it is left alone.
    """
    cdef int length = read_plain_decimal(p, out)
    if unlikely(length == 0 or p[length] | 0x20 == 0x65):
        return parse_any_decimal(p, out, why)
    out.negative = False
    return p + length


cdef inline int format_decimal(const Decimal* d, uint8_t* o) noexcept nogil:
    """Write the canonical text from mantissa and scale; at most MAX_DECIMAL_TEXT bytes. Returns its length."""
    cdef uint8_t[MAX_DECIMAL_TEXT] reverse
    cdef u128 mantissa = (<u128> d.high) << 64 | d.low
    cdef int n = 0, length = 0
    while mantissa or n <= d.scale:
        if n == d.scale and d.scale:
            reverse[length] = 0x2e
            length += 1
        reverse[length] = <uint8_t> (0x30 + <int> (mantissa % 10))
        mantissa //= 10
        length += 1
        n += 1
    n = 0
    if d.negative:
        o[0] = 0x2d
        n = 1
    while length:
        length -= 1
        o[n] = reverse[length]
        n += 1
    return n
