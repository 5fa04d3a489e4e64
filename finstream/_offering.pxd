# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Subscriptions with a policy at work: a message is offered to them, may wait for its interval, may be held, and goes at last.

    offer → pace (waits) → take_due → hold_one (held) → send_due, drain → feed (_policies): queued
"""

from finstream._bounds cimport *

cdef enum:
    RATE_PERIOD = 5                 # ms, between looks at messages that wait for their interval


cdef inline void offer(
    Pump* pump, Rules* rules, Symbol* symbol, const uint8_t* frame, int64_t frame_length, const uint8_t* line, int64_t line_length
) noexcept nogil:
    """A message for a subscription with a policy: give it, hold it, or let it wait for its interval."""
    cdef Outbox* outbox = rules.outbox
    cdef const uint8_t* start = line if outbox.lines else frame
    cdef int64_t length = line_length if outbox.lines else frame_length
    cdef Slot* slot = NULL
    cdef Held* held
    if rules.interval and symbol != NULL and pace(pump, rules, symbol, start, length):
        return
    if likely(rules.first == NULL and (outbox.head == NULL or rules.policy == KILL)):
        give(pump, outbox, start, length, 1, rules.asset, rules.policy != KILL)
        return
    if (rules.policy == CONFLATE and symbol != NULL and pump.line.kind == TICK
            and (rules.merge_trades or not pump.line.present & (1 << PRICE))):
        slot = find_slot(rules, symbol)
    held = keep_message(pump, rules, start, length)
    if held != NULL:
        hold_one(pump, rules, slot, held)


cdef inline bint pace(Pump* pump, Rules* rules, Symbol* symbol, const uint8_t* start, int64_t length) noexcept nogil:
    """Whether a message has to wait for its symbol's interval. If it has not, the next one will."""
    cdef Slot* slot = find_slot(rules, symbol)
    cdef Held* held
    if slot == NULL:
        return False
    if pump.line.kind != TICK:
        if slot.pending != NULL:  # it must not be overtaken
            hold_one(pump, rules, NULL, take_pending(pump, rules, slot))
        return False
    take_due(pump, rules, turn_time(pump))
    if turn_time(pump) >= slot.due:
        slot.due = turn_time(pump) + rules.interval
        cool(rules, slot)
        return False
    held = keep_message(pump, rules, start, length)
    if held == NULL:
        return True
    if slot.pending != NULL:
        held.merged = slot.pending.merged + 1
        rules.outbox.conflated += 1
        free(take_pending(pump, rules, slot))
    slot.pending = held
    rules.pending += 1
    rules.pending_bytes += length
    pump.pending += 1
    note_memory(pump, length)
    return True


cdef inline Held* keep_message(Pump* pump, Rules* rules, const uint8_t* start, int64_t length) noexcept nogil:
    """A copy that may wait. NULL when there is no memory for it; then the outbox was given up."""
    cdef Outbox* outbox = rules.outbox
    cdef Held* held = new_held(start, length, rules.asset.seq, turn_time(pump))
    outbox.published += 1
    if held == NULL:
        outbox.killed += 1
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
    return held


cdef inline void hold_one(Pump* pump, Rules* rules, Slot* slot, Held* held) noexcept nogil:
    cdef Outbox* outbox = rules.outbox
    if rules.policy == SKIP and outbox.head != NULL and outbox.held_bytes - outbox.firm_bytes + held.length > outbox.max_bytes:
        skip_held(rules)
    hold(rules, slot, held)
    if outbox.head == NULL:
        pump.has_due = True
    elif rules.policy == SKIP and 2 * (outbox.held_bytes - outbox.firm_bytes) > outbox.max_bytes:
        warn(pump, outbox, turn_time(pump))
    note_queued(pump, outbox, held.length, turn_time(pump))


cdef inline Held* take_pending(Pump* pump, Rules* rules, Slot* slot) noexcept nogil:
    """What waited for its interval. The consumer is not to blame for that time, so it waits from now on."""
    cdef Held* held = slot.pending
    slot.pending = NULL
    rules.pending -= 1
    rules.pending_bytes -= held.length
    pump.pending -= 1
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
        if slot.pending == NULL:
            continue
        held = take_pending(pump, rules, slot)
        slot.due = now + rules.interval
        cool(rules, slot)
        # What has waited here may be merged further: the subscriber has asked for fewer of them.
        hold_one(pump, rules, slot if rules.policy == CONFLATE else NULL, held)


cdef inline void send_due(Pump* pump) noexcept nogil:
    """Send what has waited for its interval long enough, where nothing is queued before it."""
    cdef Rules* rules = pump.rated
    cdef Outbox* outbox
    while rules != NULL:
        take_due(pump, rules, turn_time(pump))
        rules = rules.next_rated
    pump.has_due = False
    rules = pump.rated
    while rules != NULL:
        outbox = rules.outbox
        if rules.first != NULL and outbox.head == NULL:
            drain(pump, outbox)
            if outbox.closed:
                rules = pump.rated  # the connection is lost, and its subscriptions are gone
                continue
        rules = rules.next_rated


cdef inline void release_held(Pump* pump, Outbox* outbox, Rules* rules) noexcept nogil:
    """A subscription ends, the stream goes on: what waits of it goes to the queue, as the last of it. Without memory for that the
    outbox is given up, and all its subscriptions are gone."""
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
            give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
            return
    if outbox.head != NULL:
        await_writable(pump, outbox)
        note_queued(pump, outbox, grown, turn_time(pump))
        wake(pump)


cdef inline void release_all(Pump* pump, Outbox* outbox, Asset* asset) noexcept nogil:
    """Of one asset; NULL: of all."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef int i = 0
    while i < outbox.subscription_count:  # none are left if it was given up
        if list[i].rules != NULL and (asset == NULL or list[i].asset == asset):
            release_held(pump, outbox, <Rules*> list[i].rules)
        i += 1
