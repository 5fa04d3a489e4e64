# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The ranking of sources by lag, and what else is known of how a source does.

Each asset has a ``Racer``. A tick brings its racer up to date, and that is all it costs; the order is made when somebody looks, from
the racers as they then are, so that whoever looks sees it as of the last tick, and as of this moment's silence: a source that has
gone mute sends no tick that could make it worse.

A quote of a venue that gives it no time is stamped by its ingestor on receipt. Its lag would be that of our pipe, and that venue the
best of all; so it ticks, but of lag only those ticks tell that have a time of the venue's.

``Lags`` counts lags by size, in buckets of half an octave. Two generations take turns every minute, so that what is read from
them is of the last one to two minutes in which there were ticks. ``Pace`` knows how many ticks a second there are now and usually are.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from finstream._json cimport likely, unlikely

cdef extern from *:
    """
    #define FS_GENERATION 60000000000LL
    #define FS_PACE_WINDOW 10000000000LL
    """
    const int64_t GENERATION "FS_GENERATION"        # ns
    const int64_t PACE_WINDOW "FS_PACE_WINDOW"      # ns
    int leading_zeros "__builtin_clzll"(uint64_t word) noexcept nogil
    void prefetch "__builtin_prefetch"(const void* address) noexcept nogil

cdef enum:
    SMOOTHING = 4               # weight of the newest lag: 1/16
    PATIENCE = 1000000000       # ns of silence that are not held against a source
    BUCKETS = 64                # negative lags, those below 1.024 µs, then two an octave; the last one has no upper bound
    FIRST_OCTAVE = 10           # 2^10 ns
    LONG_PACE = 360             # windows that the usual pace is the average of: an hour

cdef struct Lags:
    int64_t since               # ns since the epoch: when ``recent`` was begun
    int64_t least               # ns
    int64_t least_before
    uint32_t[BUCKETS] recent
    uint32_t[BUCKETS] before

cdef struct Pace:
    int64_t since               # ns since the epoch: when the present window was begun; 0: there was no tick yet
    uint64_t count              # ticks in it
    double before               # ticks a second in the window before
    double usual                # the slow average
    int windows                 # that it is made of, at most LONG_PACE

cdef struct Tally:
    # Of trades that other sources have told, too.
    uint64_t matches
    uint64_t wins               # this one was the first
    int64_t lead                # ns, of all wins together
    int64_t lead_smoothed       # ns

cdef struct Racer:
    int64_t smoothed            # ns
    int64_t lag                 # ns, of the last tick
    int64_t last                # receipt of the last tick, ns since the epoch
    uint64_t ticks
    Pace pace
    int64_t score               # ns, as of the last look
    int64_t heard               # receipt of the last line that broke its silence; as of the last look, too
    int id                      # breaks ties: the older asset first
    bint races
    bint dated                  # its lag is that of ticks with a time of their venue's
    Tally tally


cdef inline void observe(Racer* racer, Lags* lags, int64_t lag, int64_t received, bint dated) noexcept nogil:
    cdef bint goes_on = racer.ticks != 0 and dated == racer.dated
    if likely(tells_lag(&racer.dated, lags, dated)):
        racer.lag = lag
        racer.smoothed = smooth(racer.smoothed, lag) if goes_on else lag
        note_lag(lags, lag, received)
    racer.ticks += 1
    racer.last = received
    note_pace(&racer.pace, received)


cdef inline bint tells_lag(bint* known, Lags* lags, bint dated) noexcept nogil:
    """Whether a tick's lag counts. ``dated``: its stamp is the venue's own; ``known``: so were earlier ones. Other stamps count as long
    as there is nothing better."""
    if unlikely(dated > known[0]):
        known[0] = True
        lags.since = 0
    return dated == known[0]


cdef inline int64_t smooth(int64_t smoothed, int64_t lag) noexcept nogil:
    # A shift and not a division: it rounds down on both sides of zero.
    return smoothed + ((lag - smoothed) >> SMOOTHING)


cdef inline void expect_tick(const Lags* lags) noexcept nogil:
    """With thousands of assets each line of memory is a miss of the cache: have those on their way that lags of 1 µs to 1 s count in."""
    prefetch(lags)
    prefetch(&lags.recent[16])
    prefetch(&lags.recent[32])


cdef inline int bucket_of(int64_t lag) noexcept nogil:
    cdef int octave, bucket
    if lag < 1 << FIRST_OCTAVE:
        return 0 if lag < 0 else 1
    octave = 63 - leading_zeros(<uint64_t> lag)
    bucket = 2 + 2 * (octave - FIRST_OCTAVE) + (<int> (lag >> (octave - 1)) & 1)
    return bucket if bucket < BUCKETS else BUCKETS - 1


cdef inline int64_t upper_bound(int bucket) noexcept nogil:
    """In ns: the lags of a bucket lie below it. Of the last one: -1."""
    cdef int64_t octave
    if bucket < 2:
        return bucket << FIRST_OCTAVE
    if bucket == BUCKETS - 1:
        return -1
    octave = <int64_t> 1 << (FIRST_OCTAVE + (bucket - 2) // 2)
    return octave + octave // 2 if bucket % 2 == 0 else 2 * octave


cdef inline void note_lag(Lags* lags, int64_t lag, int64_t received) noexcept nogil:
    # Unsigned: also when the machine's clock was set back.
    if <uint64_t> (received - lags.since) >= <uint64_t> GENERATION:
        begin_generation(lags, lag, received)
    lags.recent[bucket_of(lag)] += 1
    if lag < lags.least:
        lags.least = lag


cdef inline void begin_generation(Lags* lags, int64_t lag, int64_t received) noexcept nogil:
    cdef bint follows = <uint64_t> (received - lags.since) < <uint64_t> (2 * GENERATION)
    lags.least_before = lags.least if follows else lag
    lags.least = lag
    if follows:
        memcpy(lags.before, lags.recent, sizeof(lags.recent))
    else:
        memset(lags.before, 0, sizeof(lags.before))
    memset(lags.recent, 0, sizeof(lags.recent))
    lags.since = received


cdef inline void note_pace(Pace* pace, int64_t received) noexcept nogil:
    if <uint64_t> (received - pace.since) >= <uint64_t> PACE_WINDOW:
        begin_window(pace, received)
    pace.count += 1


cdef inline void begin_window(Pace* pace, int64_t received) noexcept nogil:
    """A window that lasted twice as long and longer held a silence, and teaches nothing of the usual pace."""
    cdef int64_t passed = received - pace.since
    pace.before = pace.count * 1e9 / passed if pace.since and passed > 0 else 0
    if pace.since and 0 < passed < 2 * PACE_WINDOW:
        pace.windows += pace.windows < LONG_PACE
        pace.usual += (pace.before - pace.usual) / pace.windows
    pace.since = received
    pace.count = 0


cdef inline double pace_now(const Pace* pace, int64_t now) noexcept nogil:
    """Ticks a second in the last 10 s. In part an estimate: that the window before was an even one."""
    cdef int64_t passed = now - pace.since
    if pace.since == 0:
        return 0
    if passed >= PACE_WINDOW or pace.before == 0:
        return pace.count * 1e9 / (passed if passed > PATIENCE else PATIENCE)
    if passed < 0:
        return pace.before
    return (pace.count + pace.before * (PACE_WINDOW - passed) / 1e9) * 1e9 / PACE_WINDOW


cdef inline void tally_win(Tally* tally, int64_t lead) noexcept nogil:
    tally.lead_smoothed = tally.lead_smoothed + ((lead - tally.lead_smoothed) >> SMOOTHING) if tally.wins else lead
    tally.matches += 1
    tally.wins += 1
    tally.lead += lead


cdef inline void hold_silence_against(Racer* racer, int64_t now) noexcept nogil:
    cdef int64_t silent = now - racer.last
    racer.score = racer.smoothed + (silent - PATIENCE if silent > PATIENCE else 0)


cdef inline int compare(const void* one, const void* other) noexcept nogil:
    """For qsort: who never ticked comes last, whose clock is in error before that; else by score, then by age."""
    cdef const Racer* a = <const Racer*> one
    cdef const Racer* b = <const Racer*> other
    if (a.ticks == 0) != (b.ticks == 0):
        return 1 if a.ticks == 0 else -1
    if (a.smoothed < 0) != (b.smoothed < 0):
        return 1 if a.smoothed < 0 else -1
    if a.ticks and a.score != b.score:
        return 1 if a.score > b.score else -1
    return a.id - b.id


cdef inline int severity(int64_t score) noexcept nogil:
    """0 up to 1 s, 1 below 5 s, 2 below 15 s, 3 below 60 s, else 4; degraded is 1 or more."""
    if score <= PATIENCE:
        return 0
    score //= PATIENCE
    return 1 if score < 5 else 2 if score < 15 else 3 if score < 60 else 4
