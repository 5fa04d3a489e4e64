# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The pump's thread: one turn after the other.

One turn is a batch: all sources that are readable are read once, their messages are encoded one behind the other into ``out``, every
outbox collects pointers into it, and at the end each outbox is sent once. Under light load a batch is one tick.
"""

from finstream._connections cimport *
from finstream._sources cimport *

cdef enum:
    EVENTS_AT_ONCE = 256            # of epoll
    WAITING_PERIOD = 20             # ms, between looks at the age of what waits
    LONGEST_PARDON = 2000000000     # ns
    SWEEP_PERIOD = 250              # ms, between looks at who is silent or late
    EVENTS_A_GLANCE = 16            # of connections; between two glances at the sources
    SOURCES_A_GLANCE = 64


cdef inline void look_at_clock(Pump* pump) noexcept nogil:
    cdef int64_t now
    cdef Outbox* outbox = pump.waiting
    cdef Outbox* next
    now = now_ns(CLOCK_MONOTONIC)
    if now >= pump.next_sweep:
        pump.next_sweep = now + (SWEEP_PERIOD - WAITING_PERIOD) * 1000000  # the timer does not ring to the nanosecond
        look_after_sources(pump)
        look_after_connections(pump, now)
        outbox = pump.waiting
    if now < pump.next_look:
        return  # it was for those that wait for their interval
    pump.next_look = now + (WAITING_PERIOD - RATE_PERIOD) * 1000000
    if outbox != NULL and pump.last_look and now - pump.last_look > 10 * WAITING_PERIOD * 1000000:
        # It is we who were away, not the consumers (the process was stopped, the machine frozen): give them that time back.
        pump.pardon = now + min(now - pump.last_look, LONGEST_PARDON)
    while outbox != NULL:
        next = outbox.next_waiting
        if outbox.starved:
            drain(pump, outbox)
        elif not outbox.closed or outbox.phase == WRITE_ONLY:
            look_at_age(pump, outbox, now)
        outbox = next
    if pump.memory_level or (pump.soft_mark and pump.waiting != NULL):
        guard_memory(pump, now)
    pump.last_look = now if pump.waiting != NULL else 0


cdef inline void set_timer(Pump* pump, bint rang) noexcept nogil:
    """Have the timer ring as often as is needed now. Less often than before only after it rang: consumers come and go."""
    cdef int period = 0
    if pump.pending:
        period = RATE_PERIOD
    elif pump.waiting != NULL:
        period = WAITING_PERIOD
    elif pump.connections or pump.source_count or pump.memory_level or (pump.listener >= 0 and not pump.listening):
        period = SWEEP_PERIOD
    if period != pump.period and (rang or (period and (pump.period == 0 or period < pump.period))):
        if ring_every(pump.timer_fd, period) == 0:
            pump.period = period


cdef inline void glance_at_sources(Pump* pump) noexcept nogil:
    """In the middle of a turn in which many connections come or go: ticks do not wait until all of them are served."""
    cdef Source* source
    for _ in range(min(pump.source_slots, SOURCES_A_GLANCE)):
        pump.next_glance = pump.next_glance + 1 if pump.next_glance + 1 < pump.source_slots else 0
        source = pump.sources[pump.next_glance]
        if source != NULL and source.interest & EPOLLET:  # no others: they might block
            read_source(pump, source.handle, 0)
    flush(pump, True)


cdef inline void end_turn(Pump* pump, uint64_t lines, uint64_t sends) noexcept nogil:
    """Count it: additions only, but for the one turn in a thousand whose time is taken."""
    count_size(pump.turns_by_lines, lines)
    count_size(pump.turns_by_sends, sends)
    if unlikely(pump.sampling):
        end_lap(pump, TENDING)
        pump.sampling = False
        pump.sampled_turns += 1
        pump.sampled_lines += lines


cdef inline void turn_until_stopped(Pump* pump) noexcept nogil:
    cdef epoll_event[EVENTS_AT_ONCE] ready
    cdef int i, count
    cdef uint64_t handle, rings, lines, sends
    cdef bint rang
    while not pump.stopping:
        set_timer(pump, False)
        count = epoll_wait(pump.epoll, ready, EVENTS_AT_ONCE, -1)
        if count < 0 and errno != EINTR:
            return  # whoever started us learns that the pump has ended by itself
        rang = False
        acquire_for_pump(pump)
        lines = pump.lines
        sends = pump.sends
        if count > 0:
            pump.batches += 1
            if unlikely(pump.batches % SAMPLED_TURNS == 0):
                pump.sampling = True
                pump.lap_start = now_ns(CLOCK_MONOTONIC)
        for i in range(count):
            if unlikely(i % EVENTS_A_GLANCE == EVENTS_A_GLANCE - 1 and pump.connections):
                glance_at_sources(pump)
            give_way(pump)
            handle = ready[i].data.u64
            if handle == 0:
                read(pump.wake_fd, &rings, 8)
            elif handle == TIMER:
                rang = read(pump.timer_fd, &rings, 8) == 8
            elif handle & OUTBOX_BIT:
                serve_outbox(pump, handle, ready[i].events)
            elif handle == LISTENER:
                accept_all(pump)
            else:
                read_source(pump, handle, ready[i].events)
        flush(pump, True)
        if unlikely(pump.has_excess):
            end_excess(pump)
        if unlikely(pump.has_due or (rang and pump.pending)):
            send_due(pump)
        if rang:
            look_at_clock(pump)
            set_timer(pump, True)
        elif unlikely(pump.waiting != NULL and pump.last_look == 0):
            pump.last_look = now_ns(CLOCK_MONOTONIC)
        end_turn(pump, pump.lines - lines, pump.sends - sends)
        release(pump)
