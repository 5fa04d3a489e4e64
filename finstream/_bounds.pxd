# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What an outbox may hold, and for how long."""

from finstream._memory cimport *

cdef enum:
    HARD_BOUND = 4                  # times an outbox's bound of bytes: then it is given up however young what waits is
    YOUTH = 10000000                # ns: nobody is slow for not having read what was written just now
    WARNING_PERIOD = 1000000000     # ns, between warnings of one outbox


cdef inline void warn(Pump* pump, Outbox* outbox, int64_t now) noexcept nogil:
    """Tell, in time, that an outbox is half full."""
    cdef Event* event
    if outbox.warned_already or outbox.closed or (outbox.warned and now - outbox.warned < WARNING_PERIOD):
        return
    event = tell(&pump.events, HALF_FULL)
    if event != NULL:
        outbox.warned_already = True
        outbox.warned = now
        event.handle = outbox.handle
        event.number = oldest(outbox)
        event.time = outstanding_bytes(outbox)


cdef inline void note_queued(Pump* pump, Outbox* outbox, int64_t grown, int64_t now) noexcept nogil:
    """More waits than before; whether it is too much is decided at the end of the turn."""
    if is_over(outbox, 1):
        if outbox.over_since == 0:
            outbox.over_since = now
        pump.has_excess = True
    else:
        outbox.over_since = 0
    if 2 * (outbox.queued_bytes - outbox.tamed_bytes + outbox.firm_bytes) > outbox.max_bytes:
        warn(pump, outbox, now)
    note_memory(pump, grown)


cdef inline void send_batch(Pump* pump, Outbox* outbox) noexcept nogil:
    """Send an outbox what it collected of this batch."""
    cdef int64_t before
    cdef ssize_t n = 0
    if outbox.slice_count == 0:
        return
    if unlikely(outbox.dead):
        outbox.slice_count = 0
        return
    before = outbox.queued_bytes
    if likely(outbox.head == NULL):
        n = send_slices(outbox) if likely(outbox.ssl == NULL) else seal_slices(outbox, &pump.seal)
        pump.sends += 1
        if unlikely(n < 0):
            if not must_wait(outbox, errno):
                give_up(pump, outbox, CONNECTION_LOST, errno)
                return
            n = 0
        outbox.sent_bytes += n
        if likely(outbox.slice_count == 1 and <size_t> n == outbox.slices[0].iov_len and outbox.head == NULL):
            outbox.delivered += outbox.notes[0].messages
            outbox.last_asset = outbox.notes[0].asset
            outbox.last_seq = outbox.notes[0].seq
            outbox.slice_count = 0
            return
    if unlikely(not queue_slices(outbox, n, turn_time(pump))):
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    outbox.slice_count = 0
    if outbox.head == NULL:
        return
    pump.partial_sends += 1
    await_writable(pump, outbox)
    note_queued(pump, outbox, outbox.queued_bytes - before, turn_time(pump))


cdef inline bint bound_bytes(Pump* pump, Outbox* outbox, int64_t now) noexcept nogil:
    """Give an outbox up if too much waits in it. Much can be written in one batch: one last attempt, and a moment's time."""
    if outbox.closed and outbox.phase != WRITE_ONLY:
        return False
    if now - outbox.head.since < YOUTH and now - outbox.over_since < YOUTH and not is_over(outbox, HARD_BOUND):
        return False
    drain(pump, outbox)
    if outbox.dead or outbox.parting or not is_over(outbox, 1):
        return False
    give_up(pump, outbox, SLOW_CONSUMER_BYTES, 0)
    return True


cdef inline void end_excess(Pump* pump) noexcept nogil:
    cdef Outbox* outbox = pump.waiting
    cdef Outbox* next
    pump.has_excess = False
    while outbox != NULL:
        next = outbox.next_waiting
        if is_over(outbox, 1):
            bound_bytes(pump, outbox, turn_time(pump))
        outbox = next
    if pump.soft_mark and pump.memory_held + pump.memory_since > pump.soft_mark:
        guard_memory(pump, turn_time(pump))


cdef inline int64_t oldest_firm_of(const Outbox* outbox) noexcept nogil:
    """Since when the oldest message waits that may be neither dropped nor merged; 0: there is none."""
    cdef const Subscription* list = <const Subscription*> outbox.subscriptions
    cdef const Chunk* chunk = outbox.head
    cdef int64_t since = 0, other
    cdef int i
    while chunk != NULL and chunk.tamed:
        chunk = chunk.next
    if chunk != NULL:
        since = chunk.since
    if outbox.firm_bytes:
        for i in range(outbox.subscription_count):
            if list[i].rules != NULL:
                other = oldest_firm(<Rules*> list[i].rules)
                if other and (since == 0 or other < since):
                    since = other
    return since


cdef inline bint skip_old(Outbox* outbox, int64_t now) noexcept nogil:
    """Drop what may be dropped and is too old; returns whether some of it is half as old as that."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef Rules* rules
    cdef bint ages = False
    cdef int i
    for i in range(outbox.subscription_count):
        rules = <Rules*> list[i].rules
        if rules == NULL or rules.policy != SKIP or rules.first == NULL:
            continue
        if now - rules.first.since > outbox.max_age:
            skip_held(rules)
            outbox.gaps = True
        elif now - rules.first.since > outbox.max_age // 2:
            ages = True
    return ages


cdef inline void look_at_age(Pump* pump, Outbox* outbox, int64_t now) noexcept nogil:
    """Whether what waits in an outbox is too old or too much; who had no time to read, because we had none, is pardoned."""
    cdef int64_t since = oldest_firm_of(outbox)
    if now < pump.pardon:
        return
    if not is_over(outbox, 1):
        outbox.over_since = 0
    elif bound_bytes(pump, outbox, now):
        return
    if outbox.dead or outbox.max_age < 0:
        return
    if outbox.held_messages and skip_old(outbox, now):
        warn(pump, outbox, now)
    if since and now - since > outbox.max_age:
        drain(pump, outbox)
        if not outbox.dead and oldest_firm_of(outbox) == since:
            give_up(pump, outbox, SLOW_CONSUMER_AGE, 0)
    elif since and now - since > outbox.max_age // 2:
        warn(pump, outbox, now)
