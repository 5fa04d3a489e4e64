# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Whether a tick that is well formed can be believed: four checks, each of them an asset's own choice.

    duplicate        its identity was among the asset's last ones
    out of order     it is older than a trade of its symbol that came before, or a quote older than a quote
    price anomaly    its price lies outside of a band around the symbol's last believed prices
    crossed quote    its best bid is higher than its best ask

A price outside of the band is believed, and the band moves, once so many in a row agree with each other: a lasting move is real. Prices
are only compared by the band as floating-point numbers; what is passed on is the text.

Trades and quotes come from different channels of a venue, with different clocks: the one's time, the time of sending, or ours. So a
trade after a later quote is as it should be.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp
from finstream._decimals cimport Decimal, format_decimal
from finstream._identities cimport Known, forget_known, hash_among, hash_bytes, hash_identity, was_seen
from finstream._json cimport likely, text, unlikely
from finstream._members cimport *
from finstream._scans cimport bytes_equal, first_bytes, lowest_bit

cdef enum:
    DUPLICATES, ORDER, BAND, CROSSED
    CHECKS

cdef enum:
    LATE_IN_A_ROW = 32              # so many are not late: the one before them was early, by a wrong clock, say

cdef enum Choice:
    # What is done about what a check finds; beyond IGNORE it is counted.
    IGNORE, COUNT, FLAG, DROP

cdef struct Quality:
    # Of one asset.
    int[CHECKS] choices
    uint64_t[CHECKS] found
    double band                     # part of the reference, 0.05 for 5 %
    int confirmations               # prices in a row that make a move real
    Known known                     # the identities of the last ticks
    uint64_t seed

cdef struct Watch:
    # Of one symbol; quotes and trades each have an order of their own, in this order.
    int64_t[2] newest               # ns: the latest time stamp
    double reference                # of prices; 0: none yet
    double candidate                # of a move that is not believed yet
    int confirmed                   # prices that agree with it
    uint8_t[2] late                 # ticks in a row that are older than the latest one

cdef extern from *:
    """
    /* Up to eight digits; reads eight bytes. */
    static inline uint32_t fs_few_digits(const unsigned char *p, int count) {
      uint64_t v;
      if (!count) return 0;
      memcpy(&v, p, 8);
      if (count < 8) v = v << (64 - 8 * count) | 0x3030303030303030ull >> (8 * count);
      v -= 0x3030303030303030ull;
      v = v * 10 + (v >> 8);
      return (uint32_t)(((v & 0xff000000ffull) * 0xf424000000064ull + ((v >> 16) & 0xff000000ffull) * 0x271000000001ull) >> 32);
    }
    static const uint64_t FS_FULL = 100000000000000000ull;
    static const double FS_TENTHS[29] = {1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
      1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22, 1e-23, 1e-24, 1e-25, 1e-26, 1e-27, 1e-28};
    """
    uint32_t few_digits "fs_few_digits"(text p, int count) noexcept nogil
    uint64_t swap_bytes "__builtin_bswap64"(uint64_t word) noexcept nogil
    const uint64_t FULL "FS_FULL"               # no more digits than these 17 are looked at
    const double* TENTHS "FS_TENTHS"


cdef inline int whole_digits(text p, int length) noexcept nogil:
    """Of a canonical decimal: how many of its characters stand before the point."""
    cdef uint32_t points = bytes_equal(p, 0x2e)
    cdef int i = lowest_bit(points | 1 << 16)
    if unlikely(i == 16):
        while i < length and p[i] != 0x2e:
            i += 1
    return i if i < length else length


cdef inline double approximate(const Decimal* d) noexcept nogil:
    """To about 16 digits."""
    cdef text p = d.canonical
    cdef double value
    cdef int whole, rest
    if unlikely(p == NULL):
        value = (<double> d.high * 18446744073709551616.0 + <double> d.low) * TENTHS[d.scale]
        return -value if d.negative else value
    whole = whole_digits(p, d.length)
    rest = d.length - whole - 1 if whole < d.length else 0
    if likely(whole <= 8 and rest <= 8 and p[0] != 0x2d):
        return <double> few_digits(p, whole) + <double> few_digits(p + whole + 1, rest) * TENTHS[rest]
    return approximate_long(p, d.length)


cdef inline double approximate_long(text p, int length) noexcept nogil:
    cdef uint64_t digits = 0
    cdef int i, scale = 0
    cdef bint after_point = False
    cdef double value
    for i in range(length):
        if p[i] == 0x2e:
            after_point = True
        elif p[i] != 0x2d:
            if digits < FULL:
                digits = digits * 10 + (p[i] - 0x30)
                scale += after_point
            elif not after_point:
                scale -= 1
    value = <double> digits
    while scale < 0:
        value *= 10
        scale += 1
    value *= TENTHS[scale]
    return -value if p[0] == 0x2d else value


cdef inline bint is_more(const Decimal* a, const Decimal* b) noexcept nogil:
    """Whether a is greater than b, exactly. Neither is negative: bids and asks are not."""
    cdef uint64_t[2] x, y
    cdef int whole, others
    if unlikely(a.canonical == NULL or b.canonical == NULL or a.length > 16 or b.length > 16):
        return is_more_at_length(a, b)
    # Canonical texts have neither leading zeros nor trailing ones: with as many digits before the point they sort like numbers.
    whole = whole_digits(a.canonical, a.length)
    others = whole_digits(b.canonical, b.length)
    if unlikely(whole != others):
        return whole > others
    first_bytes(x, a.canonical, a.length)
    first_bytes(y, b.canonical, b.length)
    if unlikely(x[0] == y[0]):
        return swap_bytes(x[1]) > swap_bytes(y[1])
    return swap_bytes(x[0]) > swap_bytes(y[0])


cdef inline bint is_more_at_length(const Decimal* a, const Decimal* b) noexcept nogil:
    cdef uint8_t[64] of_a
    cdef uint8_t[64] of_b
    cdef text p = a.canonical
    cdef text q = b.canonical
    cdef int m = a.length, n = b.length, order
    if p == NULL:
        m = format_decimal(a, of_a)
        p = of_a
    if q == NULL:
        n = format_decimal(b, of_b)
        q = of_b
    order = whole_digits(p, m) - whole_digits(q, n)
    if order == 0:
        order = memcmp(p, q, m if m < n else n)
    return order > 0 or (order == 0 and m > n)


cdef inline uint64_t identity_of(const Quality* quality, const Watch* watch, const Line* line) noexcept nogil:
    """Of an event by its id; of a trade by venue, symbol and id; and by their time, for ids may begin anew with each day, or with each
    run of a program. 0: it has none. A symbol that is watched is told by its watch."""
    cdef uint64_t h, seed = quality.seed ^ <uint64_t> line.time * <uint64_t> 0x9e3779b97f4a7c15
    if line.present & (1 << EVENT_ID):
        h = hash_identity(~seed, line.event_id.start, line.event_id.length)
    elif line.present & (1 << TRADE_ID):
        h = hash_identity(seed, line.trade_id.start, line.trade_id.length)
        if likely(watch != NULL):
            h = hash_among(h, <uint64_t> watch)
        else:
            h = hash_bytes(h, line.symbol.start, line.symbol.length)
        if line.present & (1 << EXCHANGE):
            h = hash_identity(h, line.exchange.start, line.exchange.length)
    else:
        return 0
    return h if h else 1


cdef inline double price_of(const Line* line) noexcept nogil:
    """Of a trade its price, of a quote what lies in the middle; 0: neither."""
    if line.present & (1 << PRICE):
        return approximate(&line.decimals[PRICE])
    if line.present & (1 << BID_PRICE) and line.present & (1 << ASK_PRICE):
        return (approximate(&line.decimals[BID_PRICE]) + approximate(&line.decimals[ASK_PRICE])) / 2
    return 0


cdef inline bint lies_within(double price, double middle, double band) noexcept nogil:
    return middle * (1 - band) <= price <= middle * (1 + band)


cdef inline bint is_anomalous(const Quality* quality, Watch* watch, double price) noexcept nogil:
    if price <= 0:
        return False
    if likely(lies_within(price, watch.reference, quality.band)):
        watch.reference += (price - watch.reference) / 8
        watch.confirmed = 0
        return False
    if watch.reference == 0:
        watch.reference = price
        return False
    if watch.confirmed and lies_within(price, watch.candidate, quality.band):
        watch.candidate += (price - watch.candidate) / 8
        watch.confirmed += 1
    else:
        watch.candidate = price
        watch.confirmed = 1
    if watch.confirmed < quality.confirmations:
        return True
    watch.reference = watch.candidate
    watch.confirmed = 0
    return False


cdef inline bint is_late(Watch* watch, const Line* line) noexcept nogil:
    cdef int trades = line.present >> PRICE & 1
    if likely(line.time >= watch.newest[trades] or watch.late[trades] == LATE_IN_A_ROW):
        watch.newest[trades] = line.time
        watch.late[trades] = 0
        return False
    watch.late[trades] += 1
    return True


cdef inline bint is_dropped(Quality* quality, Line* line, int check) noexcept nogil:
    """The check has found something."""
    quality.found[check] += 1
    if quality.choices[check] == FLAG:
        line.suspect = True
    return quality.choices[check] == DROP


cdef inline int examine(Quality* quality, Watch* watch, Line* line) noexcept nogil:
    """Count what the checks find, and flag the line if one says so. Returns the check that drops it, or -1.

    ``watch`` is NULL for a symbol that is not kept: then nothing is compared with what came before.
    """
    cdef uint64_t identity
    if quality.choices[DUPLICATES] != IGNORE:
        identity = identity_of(quality, watch, line)
        if unlikely(identity != 0 and was_seen(&quality.known, identity) and is_dropped(quality, line, DUPLICATES)):
            return DUPLICATES
    if quality.choices[ORDER] != IGNORE and watch != NULL:
        if unlikely(is_late(watch, line) and is_dropped(quality, line, ORDER)):
            return ORDER
    if quality.choices[BAND] != IGNORE and watch != NULL:
        if unlikely(is_anomalous(quality, watch, price_of(line)) and is_dropped(quality, line, BAND)):
            return BAND
    if quality.choices[CROSSED] != IGNORE and line.present & (1 << BID_PRICE) and line.present & (1 << ASK_PRICE):
        if unlikely(is_more(&line.decimals[BID_PRICE], &line.decimals[ASK_PRICE]) and is_dropped(quality, line, CROSSED)):
            return CROSSED
    return -1


cdef inline void free_quality(Quality* quality) noexcept nogil:
    if quality != NULL:
        forget_known(&quality.known)
        free(quality)
