# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The ranking of sources by lag.

Each pricing asset has a ``Racer``. The order is kept in an array of pointers, best first. A tick changes one racer, which then
moves up or down past its neighbours; a timer ages all of them, because a source that has gone mute sends no tick that could
make it worse.
"""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    SMOOTHING = 4               # weight of the newest lag: 1/16
    PATIENCE = 1000000000       # ns of silence that are not held against a source

cdef struct Racer:
    int64_t smoothed            # ns
    int64_t lag                 # ns, of the last tick
    int64_t last                # receipt of the last tick, ns since the epoch
    int64_t score               # ns
    uint64_t ticks
    int place                   # index in the order
    int id                      # breaks ties: the older asset first
    bint races

cdef struct Arena:
    Racer** order
    int count


cdef inline bint is_ahead(const Racer* a, const Racer* b) noexcept nogil:
    if (a.ticks == 0) != (b.ticks == 0):
        return b.ticks == 0
    if (a.smoothed < 0) != (b.smoothed < 0):
        return b.smoothed < 0
    if a.score != b.score:
        return a.score < b.score
    return a.id < b.id


cdef inline void settle(Arena* arena, Racer* racer) noexcept nogil:
    """Let one racer, whose score has changed, find its place."""
    cdef int i = racer.place
    while i > 0 and is_ahead(racer, arena.order[i - 1]):
        arena.order[i] = arena.order[i - 1]
        arena.order[i].place = i
        i -= 1
    while i + 1 < arena.count and is_ahead(arena.order[i + 1], racer):
        arena.order[i] = arena.order[i + 1]
        arena.order[i].place = i
        i += 1
    arena.order[i] = racer
    racer.place = i


cdef inline void observe(Racer* racer, int64_t lag, int64_t received) noexcept nogil:
    racer.lag = lag
    # A shift and not a division: it rounds down on both sides of zero.
    racer.smoothed = racer.smoothed + ((lag - racer.smoothed) >> SMOOTHING) if racer.ticks else lag
    racer.ticks += 1
    racer.last = received
    racer.score = racer.smoothed


cdef inline void age(Arena* arena, int64_t now) noexcept nogil:
    """Hold silence against everybody, and sort again: nearly in order already, so by insertion."""
    cdef int i
    cdef Racer* racer
    cdef int64_t silent
    for i in range(arena.count):
        racer = arena.order[i]
        silent = now - racer.last
        racer.score = racer.smoothed + (silent - PATIENCE if silent > PATIENCE else 0)
    for i in range(1, arena.count):
        settle_left(arena, i)


cdef inline void settle_left(Arena* arena, int i) noexcept nogil:
    cdef Racer* racer = arena.order[i]
    while i > 0 and is_ahead(racer, arena.order[i - 1]):
        arena.order[i] = arena.order[i - 1]
        arena.order[i].place = i
        i -= 1
    arena.order[i] = racer
    racer.place = i


cdef inline void enter(Arena* arena, Racer* racer) noexcept nogil:
    """The order's memory has room for one more."""
    racer.races = True
    racer.place = arena.count
    arena.order[arena.count] = racer
    arena.count += 1
    settle(arena, racer)


cdef inline void leave(Arena* arena, Racer* racer) noexcept nogil:
    cdef int i
    racer.races = False
    arena.count -= 1
    for i in range(racer.place, arena.count):
        arena.order[i] = arena.order[i + 1]
        arena.order[i].place = i


cdef inline int severity(int64_t score) noexcept nogil:
    """0 up to 1 s, 1 below 5 s, 2 below 15 s, 3 below 60 s, else 4; degraded is 1 or more."""
    if score <= PATIENCE:
        return 0
    score //= PATIENCE
    return 1 if score < 5 else 2 if score < 15 else 3 if score < 60 else 4
