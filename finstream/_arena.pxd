# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The ranking of sources by lag.

Each asset has a ``Racer``. A tick brings its racer up to date, and that is all it costs; the order is made when somebody looks, from
the racers as they then are, so that whoever looks sees it as of the last tick, and as of this moment's silence: a source that has
gone mute sends no tick that could make it worse.
"""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    SMOOTHING = 4               # weight of the newest lag: 1/16
    PATIENCE = 1000000000       # ns of silence that are not held against a source

cdef struct Racer:
    int64_t smoothed            # ns
    int64_t lag                 # ns, of the last tick
    int64_t last                # receipt of the last tick, ns since the epoch
    uint64_t ticks
    int64_t score               # ns, as of the last look
    int id                      # breaks ties: the older asset first
    bint races


cdef inline void observe(Racer* racer, int64_t lag, int64_t received) noexcept nogil:
    racer.lag = lag
    # A shift and not a division: it rounds down on both sides of zero.
    racer.smoothed = racer.smoothed + ((lag - racer.smoothed) >> SMOOTHING) if racer.ticks else lag
    racer.ticks += 1
    racer.last = received


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
