# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The bound on what all outboxes and sources hold together, and who is given up when it is exceeded."""

from libc.stdlib cimport qsort

from finstream._sending cimport *

cdef enum:
    MALLOC_BYTES = 16               # of the allocator's own for each piece, and what it rounds up
    MIDWAY_COUNTS = 16              # in the middle of a batch: one each time that such a part of the soft mark came on top
    MUCH_UNFINISHED = 16384         # bytes; what is being sent just now is shorter
    RELIEF_PERIOD = 1000000000      # ns from one news of a mark to that of a lower level: eviction makes it flutter


cdef inline void note_memory(Pump* pump, int64_t grown) noexcept nogil:
    """So much more waits, in a piece of memory of its own."""
    note_growth(pump, grown + <int64_t> sizeof(Chunk) + MALLOC_BYTES)


cdef inline void note_growth(Pump* pump, int64_t grown) noexcept nogil:
    pump.memory_since += grown
    if unlikely(pump.soft_mark and pump.memory_held + pump.memory_since > pump.soft_mark):
        pump.has_excess = True


cdef inline void guard_midway(Pump* pump) noexcept nogil:
    """Between two sends of a batch: one for thousands may be many times the mark by its end."""
    if unlikely(pump.memory_since > pump.soft_mark // MIDWAY_COUNTS and pump.memory_held + pump.memory_since > pump.soft_mark
                and pump.soft_mark):
        guard_memory(pump, turn_time(pump))


cdef inline int64_t memory_of(const Outbox* outbox) noexcept nogil:
    """What is queued and held for an outbox takes, with its bookkeeping: of short messages that is half as much again."""
    cdef int64_t bytes = outbox.queued_bytes + outbox.held_bytes
    if outbox.head != NULL:
        bytes += outbox.head.sent  # freed together with the rest of its chunk
    return bytes + outbox.chunks * (<int64_t> sizeof(Chunk) + MALLOC_BYTES) + memory_of_held(outbox.held_messages)


cdef inline int64_t memory_of_held(uint64_t count) noexcept nogil:
    return count * (sizeof(Held) + MALLOC_BYTES)


cdef inline void count_inbox(Pump* pump, Outbox* outbox) noexcept nogil:
    """What a client has begun to say and not finished takes memory too, until it is let go."""
    cdef Inbox* inbox = &outbox.inbox
    cdef int64_t room = 0 if outbox.closed else inbox.pending.room + inbox.message.room
    pump.inbox_bytes += room - inbox.counted
    if room > inbox.counted:
        note_growth(pump, room - inbox.counted)
    inbox.counted = room


cdef inline void guard_memory(Pump* pump, int64_t now) noexcept nogil:
    """Count what is held; too much: give outboxes up. What nobody can be given up for is not held against anybody."""
    cdef int64_t fixed = pump.events.text_length, evictable, excess, left, pending = 0
    cdef Outbox* outbox = pump.waiting
    cdef Rules* rules = pump.rated
    cdef int i, level = 0
    for i in range(pump.source_slots):
        if pump.sources[i] != NULL:
            fixed += pump.sources[i].rest_room
    while rules != NULL:
        pending += rules.pending_bytes + memory_of_held(rules.pending)
        rules = rules.next_rated
    evictable = pending + pump.inbox_bytes
    while outbox != NULL:
        if outbox.closed:
            fixed += memory_of(outbox)
        else:
            evictable += memory_of(outbox)
        outbox = outbox.next_waiting
    if pump.soft_mark:
        level = 2 if fixed + evictable > pump.hard_mark else 1 if fixed + evictable > pump.soft_mark else 0
    if level > pump.memory_level or (level < pump.memory_level and now - pump.memory_told > RELIEF_PERIOD):
        tell_memory(pump, level, fixed + evictable, now)
    if level and fixed < pump.soft_mark:
        excess = fixed + evictable - pump.soft_mark
        left = evict(pump, excess, pending > pump.soft_mark // 2)
        if left > 0:
            left = evict(pump, left, True)
        evictable -= excess - left
    pump.memory_held = fixed + evictable
    pump.memory_since = 0


cdef inline int64_t evict(Pump* pump, int64_t excess, bint patient_too) noexcept nogil:
    """Give outboxes up, the least important first, until ``excess`` bytes are free. Returns what is left of it.

    ``patient_too``: those as well of which nothing waits but for its interval. They are not slow, so they are spared while others
    fill the memory.
    """
    cdef Outbox** candidates = <Outbox**> malloc(pump.outbox_count * sizeof(Outbox*))
    cdef Outbox* outbox
    cdef int64_t pending
    cdef int i, count = 0
    if candidates == NULL:
        return excess  # until the next look
    for i in range(pump.outbox_slots):
        outbox = pump.outboxes[i]
        if outbox != NULL and not outbox.closed and (
                outbox.head != NULL or outbox.inbox.counted or (patient_too and outstanding_bytes(outbox))):
            candidates[count] = outbox
            count += 1
    qsort(candidates, count, sizeof(Outbox*), compare_importance)
    for i in range(count):
        if excess <= 0:
            break
        outbox = candidates[i]
        pending = 0
        excess -= memory_of(outbox) + memory_of_held(count_pending(outbox, &pending))
        excess -= pending + outbox.inbox.counted
        give_up(pump, outbox, MEMORY_PRESSURE, 0)
        excess += memory_of(outbox)  # the rest of a message that is under way
    free(candidates)
    return excess


cdef inline int compare_importance(const void* one, const void* other) noexcept nogil:
    """For qsort: the lowest priority first, then those with much that they do not finish saying, then who has waited longest; waiting
    for an interval does not count as such."""
    cdef const Outbox* a = (<const Outbox**> one)[0]
    cdef const Outbox* b = (<const Outbox**> other)[0]
    if a.priority != b.priority:
        return -1 if a.priority < b.priority else 1
    if (a.inbox.counted > MUCH_UNFINISHED) != (b.inbox.counted > MUCH_UNFINISHED):
        return -1 if a.inbox.counted > MUCH_UNFINISHED else 1
    if (a.head == NULL) != (b.head == NULL):
        return 1 if a.head == NULL else -1
    if a.head != NULL and a.head.since != b.head.since:
        return -1 if a.head.since < b.head.since else 1
    return -1 if a.handle < b.handle else 1


cdef inline void tell_memory(Pump* pump, int level, int64_t held, int64_t now) noexcept nogil:
    cdef Event* event = tell(&pump.events, MEMORY_MARK)
    if event == NULL:
        return
    pump.memory_level = level
    pump.memory_told = now
    event.reason = level
    event.number = held
