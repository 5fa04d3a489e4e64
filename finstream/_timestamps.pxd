# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Time stamps in every accepted form to nanoseconds since the epoch, UTC. docs/ingestor-protocol.md has the rules."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from finstream._digits cimport eight_digits, sixteen_digits
from finstream._json cimport is_digit, likely, text, unlikely
from finstream._decimals cimport Digits, POWER_OF_TEN, scan_digits
from finstream._scans cimport lowest_bit, non_digits

cdef enum:
    NANO = 1000000000
    FIRST_YEAR = 1970
    LAST_YEAR = 2199

cdef extern from *:
    """
    #define FS_END_OF_TIME 7258118400000000000ll  /* 2200-01-01T00:00:00Z in ns */
    #define FS_NOT_A_TIME (-1ll)
    """
    const int64_t END_OF_TIME "FS_END_OF_TIME"
    const int64_t NOT_A_TIME "FS_NOT_A_TIME"

cdef struct ZoneTable:
    # New York: from starts[i] (UTC, s) on, local time is UTC + offsets[i] (s). Ascending; the pump owns the arrays.
    int count
    int64_t* starts
    int64_t* offsets
    int last            # where the search ended last time: stamps come in order


cdef inline int64_t scaled_time(uint64_t value) noexcept nogil:
    """A whole number of s, ms, µs or ns, told by its magnitude."""
    if value < 100000000000ull:
        return <int64_t> value * NANO if value < 7258118400ull else NOT_A_TIME
    if value < 100000000000000ull:
        return <int64_t> value * 1000000 if value < 7258118400000ull else NOT_A_TIME
    if value < 100000000000000000ull:
        return <int64_t> value * 1000 if value < 7258118400000000ull else NOT_A_TIME
    return <int64_t> value if value < <uint64_t> END_OF_TIME else NOT_A_TIME


cdef inline int read_whole_number(text p, uint64_t* value) noexcept nogil:
    """Nearly every time stamp is one: 9 to 19 digits. Returns how many; 0 if it is anything else. What follows is not looked at."""
    cdef uint64_t part
    cdef uint32_t others = non_digits(p) | non_digits(p + 16) << 16
    cdef int digits, more
    if unlikely(p[0] == 0x30):
        return 0
    if likely(others & 0xfffff == 0x80000):
        value[0] = sixteen_digits(p) * 1000 + (p[16] * 100 + p[17] * 10 + p[18] - 111 * 0x30)
        return 19
    digits = lowest_bit(others | <uint64_t> 1 << 32)
    if not 9 <= digits <= 19:
        return 0
    eight_digits(p, value)
    more = eight_digits(p + 8, &part)
    value[0] = value[0] * POWER_OF_TEN[more] + part
    if digits > 16:
        more = eight_digits(p + 16, &part)
        value[0] = value[0] * POWER_OF_TEN[more] + part
    return digits


cdef inline int64_t number_to_time(text p, text stop, bint* is_number) noexcept nogil:
    """A number that fills ``p`` to ``stop``: its unit is told by its magnitude. ``is_number`` says whether it was a number at all."""
    cdef Digits d
    cdef uint64_t value = 0
    cdef int64_t wanted, taken = 0
    cdef int unit
    cdef text q
    if p < stop and p + read_whole_number(p, &value) == stop:
        is_number[0] = True
        return scaled_time(value)
    is_number[0] = scan_digits(p, &d) == stop
    if not is_number[0]:
        return NOT_A_TIME
    if d.count == 0:
        return 0
    unit = 9 if d.point <= 11 else 6 if d.point <= 14 else 3 if d.point <= 17 else 0
    wanted = d.point + unit  # so many digits make up the whole nanoseconds
    if wanted > 19:
        return NOT_A_TIME
    if wanted <= 0:
        return 0
    value = 0
    q = d.first
    while taken < wanted:
        if q <= d.last:
            if q[0] == 0x2e:
                q += 1
            value = value * 10 + (q[0] - 0x30)
            q += 1
        else:
            value *= 10
        taken += 1
    if value >= <uint64_t> END_OF_TIME or (d.negative and value):
        return NOT_A_TIME
    return <int64_t> value


cdef inline int two_digits(text p) noexcept nogil:
    return (p[0] - 0x30) * 10 + (p[1] - 0x30) if is_digit(p[0]) and is_digit(p[1]) else -1


cdef inline int64_t days_from_civil(int year, int month, int day) noexcept nogil:
    """Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, “chrono-compatible low-level date algorithms”)."""
    cdef int64_t y = year - (month <= 2)
    cdef int64_t era = y // 400
    cdef int64_t year_of_era = y - era * 400
    cdef int64_t day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


cdef inline int days_in_month(int year, int month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef inline int64_t new_york_to_utc(int64_t local, ZoneTable* zone) noexcept nogil:
    """Local seconds to UTC seconds. Of a time that occurs twice the first is meant; one that is skipped gets the offset before."""
    cdef int i = zone.last
    # The offset in force at the last change that lies, in the local time before that change, at or before the moment.
    while i + 1 < zone.count and zone.starts[i + 1] + zone.offsets[i] <= local:
        i += 1
    while i > 0 and zone.starts[i] + zone.offsets[i - 1] > local:
        i -= 1
    zone.last = i
    # Just after a change forward, the skipped hour still reads with the offset before it.
    if i > 0 and zone.offsets[i] > zone.offsets[i - 1] and local < zone.starts[i] + zone.offsets[i]:
        return local - zone.offsets[i - 1]
    return local - zone.offsets[i]


cdef inline int64_t iso_to_time(text p, text stop, ZoneTable* zone) noexcept nogil:
    """ISO 8601, extended or basic; NOT_A_TIME if it is neither, or out of range."""
    cdef int year, month, day, hour, minute, second = 0, sign, offset = 0, k
    cdef int64_t seconds, nano = 0, scale = 100000000
    cdef bint extended, has_seconds = False
    if stop - p < 13:
        return NOT_A_TIME
    year = two_digits(p)
    month = two_digits(p + 2)
    if year < 0 or month < 0:
        return NOT_A_TIME
    year = year * 100 + month
    p += 4
    extended = p[0] == 0x2d
    p += extended
    month = two_digits(p)
    p += 2
    if extended:
        if p[0] != 0x2d:
            return NOT_A_TIME
        p += 1
    day = two_digits(p)
    p += 2
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12 and 1 <= day <= days_in_month(year, month)):
        return NOT_A_TIME
    if p[0] != 0x54 and p[0] != 0x74 and p[0] != 0x20:
        return NOT_A_TIME
    hour = two_digits(p + 1)
    p += 3
    if stop - p < 2:
        return NOT_A_TIME
    if extended:
        if p[0] != 0x3a:
            return NOT_A_TIME
        p += 1
    minute = two_digits(p)
    p += 2
    if not (0 <= hour <= 23 and 0 <= minute <= 59) or p > stop:
        return NOT_A_TIME
    if extended and p[0] == 0x3a and p < stop:
        p += 1
        has_seconds = True
    elif not extended and p < stop and is_digit(p[0]):
        has_seconds = True
    if has_seconds:
        if stop - p < 2:
            return NOT_A_TIME
        second = two_digits(p)
        if not 0 <= second <= 60:
            return NOT_A_TIME
        p += 2
        if p < stop and (p[0] == 0x2e or p[0] == 0x2c):
            p += 1
            k = 0
            while p < stop and is_digit(p[0]):
                nano += scale * (p[0] - 0x30)
                scale //= 10
                p += 1
                k += 1
            if not 1 <= k <= 30:
                return NOT_A_TIME
    seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    if p == stop:
        seconds = new_york_to_utc(seconds, zone)
    elif p[0] == 0x5a or p[0] == 0x7a:
        if p + 1 != stop:
            return NOT_A_TIME
    elif p[0] == 0x2b or p[0] == 0x2d:
        sign = -1 if p[0] == 0x2b else 1
        k = <int> (stop - p)
        hour = two_digits(p + 1) if k >= 3 else -1
        if k == 3:
            minute = 0
        elif k == 5:
            minute = two_digits(p + 3)
        elif k == 6 and p[3] == 0x3a:
            minute = two_digits(p + 4)
        else:
            return NOT_A_TIME
        if not (0 <= hour <= 23 and 0 <= minute <= 59):
            return NOT_A_TIME
        offset = hour * 3600 + minute * 60
        seconds += sign * offset
    else:
        return NOT_A_TIME
    if seconds < 0 or seconds >= END_OF_TIME // NANO:
        return NOT_A_TIME
    return seconds * NANO + nano


cdef inline int64_t read_time(text p, text stop, bint quoted, ZoneTable* zone) noexcept nogil:
    """A time stamp's text, without its quotes. NOT_A_TIME if it is none."""
    cdef bint is_number
    cdef int64_t when = number_to_time(p, stop, &is_number)
    if is_number or not quoted:
        return when
    return iso_to_time(p, stop, zone)
