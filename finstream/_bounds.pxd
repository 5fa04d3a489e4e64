# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What an outbox may hold, and all of them together; and the subscriptions that would rather lose or merge than be let go."""

from finstream._sending cimport *

cdef enum:
    RATE_PERIOD = 5                 # ms, between looks at messages that wait for their interval
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
        event.number = oldest(pump, outbox)
        event.time = outbox.queued_bytes + outbox.held_bytes


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


cdef inline void note_memory(Pump* pump, int64_t grown) noexcept nogil:
    pump.memory_since += grown
    if unlikely(pump.soft_mark and pump.memory_held + pump.memory_since > pump.soft_mark):
        pump.has_excess = True


cdef inline void send_batch(Pump* pump, Outbox* outbox) noexcept nogil:
    """Send an outbox what it collected of this batch."""
    cdef int64_t before
    cdef ssize_t n = 0
    if outbox.touched == 0:
        return
    pump.touched[outbox.touched - 1] = NULL
    outbox.touched = 0
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


cdef inline int64_t oldest_firm_of(Pump* pump, Outbox* outbox) noexcept nogil:
    """Since when the oldest message waits that may be neither dropped nor merged; 0: there is none."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef Chunk* chunk = outbox.head
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


cdef inline void skip_old(Pump* pump, Outbox* outbox, int64_t now) noexcept nogil:
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef Rules* rules
    cdef int i
    for i in range(outbox.subscription_count):
        rules = <Rules*> list[i].rules
        if rules != NULL and rules.policy == SKIP and rules.first != NULL and now - rules.first.since > outbox.max_age:
            skip_held(rules)
            outbox.gaps = True


cdef inline void look_at_age(Pump* pump, Outbox* outbox, int64_t now) noexcept nogil:
    """Whether what waits in an outbox is too old or too much; who had no time to read, because we had none, is pardoned."""
    cdef int64_t since = oldest_firm_of(pump, outbox)
    if now < pump.pardon:
        return
    if not is_over(outbox, 1):
        outbox.over_since = 0
    elif bound_bytes(pump, outbox, now):
        return
    if outbox.dead or outbox.max_age < 0:
        return
    if outbox.subscription_count and outbox.held_messages:
        skip_old(pump, outbox, now)
    if since and now - since > outbox.max_age:
        drain(pump, outbox)
        if not outbox.dead and oldest_firm_of(pump, outbox) == since:
            give_up(pump, outbox, SLOW_CONSUMER_AGE, 0)
    elif since and now - since > outbox.max_age // 2:
        warn(pump, outbox, now)


cdef inline void guard_memory(Pump* pump, int64_t now) noexcept nogil:
    """Count what all outboxes and sources hold. Too much: give up those of the lowest priority that have waited longest."""
    cdef Outbox* outbox
    cdef Outbox* victim
    cdef Rules* rules
    cdef int64_t fixed = pump.events.text_length, evictable = pump.pending_bytes
    cdef int i, level
    for i in range(pump.source_slots):
        if pump.sources[i] != NULL:
            fixed += pump.sources[i].rest_room
    outbox = pump.waiting
    while outbox != NULL:
        if outbox.closed:
            fixed += outbox.queued_bytes
        else:
            evictable += outbox.queued_bytes + outbox.held_bytes
        outbox = outbox.next_waiting
    level = 0
    if pump.soft_mark:
        level = 2 if fixed + evictable > pump.hard_mark else 1 if fixed + evictable > pump.soft_mark else 0
    if level > pump.memory_level or (level < pump.memory_level and now - pump.memory_told > WARNING_PERIOD):
        tell_memory(pump, level, fixed + evictable, now)
    while level and fixed < pump.soft_mark < fixed + evictable:  # what nobody can be given up for is not held against anybody
        victim = NULL
        outbox = pump.waiting
        while outbox != NULL:
            if not outbox.closed and (victim == NULL or goes_before(outbox, victim)):
                victim = outbox
            outbox = outbox.next_waiting
        rules = pump.rated
        while rules != NULL and (victim == NULL or pump.pending_bytes > pump.soft_mark // 2):
            if rules.pending and (victim == NULL or rules.outbox.priority < victim.priority):
                victim = rules.outbox
            rules = rules.next_rated
        if victim == NULL:
            break
        evictable -= victim.queued_bytes + victim.held_bytes + victim.pending_bytes
        give_up(pump, victim, MEMORY_PRESSURE, 0)
    pump.memory_held = fixed + evictable
    pump.memory_since = 0


cdef inline void tell_memory(Pump* pump, int level, int64_t held, int64_t now) noexcept nogil:
    cdef Event* event = tell(&pump.events, MEMORY_MARK)
    if event == NULL:
        return
    pump.memory_level = level
    pump.memory_told = now
    event.reason = level
    event.number = held


cdef inline void offer(
    Pump* pump, Rules* rules, Symbol* symbol, const uint8_t* frame, int64_t frame_length, const uint8_t* line, int64_t line_length
) noexcept nogil:
    """A message for a subscription with a policy: give it, hold it, or let it wait for its interval."""
    cdef Outbox* outbox = rules.outbox
    cdef const uint8_t* start = line if outbox.lines else frame
    cdef int64_t length = line_length if outbox.lines else frame_length
    cdef bint may_merge = (
        symbol != NULL and pump.line.kind == TICK
        and rules.policy == CONFLATE and (rules.merge_trades or not pump.line.present & (1 << PRICE)))
    cdef Slot* slot = NULL
    cdef Held* held
    if rules.interval and symbol != NULL and pump.line.kind == TICK:
        slot = find_slot(rules, symbol)
        take_due(pump, rules, turn_time(pump))
        if slot != NULL and turn_time(pump) < slot.due:
            outbox.published += 1
            held = new_held(start, length, rules.asset.seq, turn_time(pump))
            if held == NULL:
                outbox.killed += 1
                give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
                return
            if slot.pending != NULL:
                held.merged = slot.pending.merged + 1
                outbox.conflated += 1
                free(take_pending(pump, rules, slot))
            slot.pending = held
            rules.pending += 1
            rules.pending_bytes += length
            outbox.pending_messages += 1
            outbox.pending_bytes += length
            pump.pending_bytes += length
            note_memory(pump, length)
            return
        if slot != NULL:
            slot.due = turn_time(pump) + rules.interval
            cool(rules, slot)
            pump.cooling += 1
    elif unlikely(rules.interval and symbol != NULL):  # it must not overtake a tick of its symbol
        slot = find_slot(rules, symbol)
        if slot != NULL and slot.pending != NULL:
            hold_one(pump, rules, NULL, take_pending(pump, rules, slot))
        slot = NULL
    if likely(rules.first == NULL and (outbox.head == NULL or rules.policy == KILL)):
        give(pump, outbox, start, length, 1, rules.asset, rules.policy != KILL)
        return
    outbox.published += 1
    if may_merge and slot == NULL:
        slot = find_slot(rules, symbol)
    held = new_held(start, length, rules.asset.seq, turn_time(pump))
    if held == NULL:
        outbox.killed += 1
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    hold_one(pump, rules, slot if may_merge else NULL, held)


cdef inline void hold_one(Pump* pump, Rules* rules, Slot* slot, Held* held) noexcept nogil:
    cdef Outbox* outbox = rules.outbox
    if rules.policy == SKIP and outbox.head != NULL and outbox.held_bytes - outbox.firm_bytes + held.length > outbox.max_bytes:
        skip_held(rules)
    hold(rules, slot, held)
    note_queued(pump, rules.outbox, held.length, turn_time(pump))


cdef inline Held* take_pending(Pump* pump, Rules* rules, Slot* slot) noexcept nogil:
    """What waited for its interval. The consumer is not to blame for that time, so it waits from now on."""
    cdef Held* held = slot.pending
    slot.pending = NULL
    rules.pending -= 1
    rules.pending_bytes -= held.length
    rules.outbox.pending_messages -= 1
    rules.outbox.pending_bytes -= held.length
    pump.pending_bytes -= held.length
    held.since = turn_time(pump)
    return held


cdef inline void take_due(Pump* pump, Rules* rules, int64_t now) noexcept nogil:
    """What waited for its interval is held like any other message now; the next ones of these symbols wait in turn."""
    cdef Slot* slot
    cdef Held* held
    while rules.cooling != NULL and rules.cooling.due <= now:
        slot = rules.cooling
        rules.cooling = slot.next_cooling
        if rules.cooling == NULL:
            rules.last_cooling = NULL
        pump.cooling -= 1
        if slot.pending == NULL:
            continue
        held = take_pending(pump, rules, slot)
        slot.due = now + rules.interval
        cool(rules, slot)
        pump.cooling += 1
        # What has waited here may be merged further: the subscriber has asked for fewer of them.
        hold_one(pump, rules, slot if rules.policy == CONFLATE else NULL, held)


cdef inline void send_due(Pump* pump) noexcept nogil:
    cdef Rules* rules = pump.rated
    while rules != NULL:
        take_due(pump, rules, turn_time(pump))
        rules = rules.next_rated
    rules = pump.rated
    while rules != NULL:
        if rules.first != NULL and rules.outbox.head == NULL:
            if not send_held(pump, rules.outbox):
                rules = pump.rated  # the connection is lost, and its subscriptions are gone
                continue
        rules = rules.next_rated


cdef inline bint send_held(Pump* pump, Outbox* outbox) noexcept nogil:
    """Send what is held, now that nothing is queued before it. False: the outbox was given up."""
    drain(pump, outbox)
    return not outbox.closed


cdef inline void release_held(Pump* pump, Outbox* outbox, Rules* rules) noexcept nogil:
    """A subscription ends, the stream goes on: what waits of it goes to the queue, as the last of it."""
    cdef int64_t grown
    cdef int i
    for i in range(rules.slot_room):
        if rules.slots[i] != NULL and rules.slots[i].pending != NULL:
            hold(rules, NULL, take_pending(pump, rules, rules.slots[i]))
    if rules.policy == SKIP and outbox.tamed_bytes + rules.bytes > outbox.max_bytes:
        skip_held(rules)
    grown = rules.bytes
    while rules.first != NULL or rules.gap_count:
        if not feed(rules, 1 << 30, False, turn_time(pump)):
            return
    if outbox.head != NULL:
        await_writable(pump, outbox)
        note_queued(pump, outbox, grown, turn_time(pump))
        wake(pump)


cdef inline void release_all(Pump* pump, Outbox* outbox, Asset* asset) noexcept nogil:
    """Of one asset; NULL: of all."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef int i
    for i in range(outbox.subscription_count):
        if list[i].rules != NULL and (asset == NULL or list[i].asset == asset):
            release_held(pump, outbox, <Rules*> list[i].rules)
