# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Outboxes at work: sending what waits, waiting until more can be sent, and letting go."""

from finstream._pump cimport *

cdef inline void show_interest(Pump* pump, Outbox* outbox) noexcept nogil:
    """Have epoll tell what this outbox waits for, and nothing else."""
    cdef uint32_t wanted = EPOLLOUT if outbox.armed and not outbox.starved else 0
    if (outbox.phase == GREETING or outbox.phase == OPEN or outbox.phase == LEAVING) and not outbox.paused:
        wanted |= EPOLLIN
    if outbox.dead:
        wanted = 0
    if wanted == outbox.interest:
        return
    if epoll_change(
            pump.epoll, EPOLL_CTL_MOD if wanted and outbox.interest else EPOLL_CTL_ADD if wanted else EPOLL_CTL_DEL,
            outbox.fd, wanted, outbox.handle) == 0:
        outbox.interest = wanted
    elif outbox.armed:
        outbox.starved = True  # epoll is out of memory; the clock stands in for it


cdef inline void await_writable(Pump* pump, Outbox* outbox) noexcept nogil:
    if outbox.armed:
        return
    outbox.armed = True
    show_interest(pump, outbox)
    outbox.previous_waiting = NULL
    outbox.next_waiting = pump.waiting
    if pump.waiting != NULL:
        pump.waiting.previous_waiting = outbox
    pump.waiting = outbox


cdef inline void stop_waiting(Pump* pump, Outbox* outbox) noexcept nogil:
    if not outbox.armed:
        return
    outbox.armed = False
    show_interest(pump, outbox)
    if outbox.previous_waiting != NULL:
        outbox.previous_waiting.next_waiting = outbox.next_waiting
    else:
        pump.waiting = outbox.next_waiting
    if outbox.next_waiting != NULL:
        outbox.next_waiting.previous_waiting = outbox.previous_waiting


cdef inline void feed_outbox(Pump* pump, Outbox* outbox) noexcept nogil:
    """Queue some of what is held, of each subscription in turn. Without memory for it the outbox is given up."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef Rules* rules
    cdef int i
    if outbox.held_messages == 0 and not outbox.gaps:
        return
    for i in range(outbox.subscription_count):
        rules = <Rules*> list[i].rules
        if rules != NULL and (rules.first != NULL or rules.gap_count):
            if not feed(rules, FEED_BYTES, True, turn_time(pump)):
                give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
                return
    outbox.gaps = False


cdef inline void drain(Pump* pump, Outbox* outbox) noexcept nogil:
    """Send what waits, as far as the socket takes it. What is held follows what is queued; not only once that is gone, for with a
    plain subscription beside it that may never be, but one feed of it at a time."""
    cdef bint sent
    while True:
        if outbox.tamed_bytes == 0:
            feed_outbox(pump, outbox)
        if outbox.head == NULL:
            break
        sent = send_queue(outbox) if likely(outbox.ssl == NULL) else seal_queue(outbox, &pump.seal)
        pump.sends += 1
        if not sent:
            if errno == EINTR:
                continue
            if must_wait(outbox, errno):
                await_writable(pump, outbox)
                show_interest(pump, outbox)
            else:
                give_up(pump, outbox, CONNECTION_LOST, errno)
            return
    if outbox.dead:
        return
    stop_waiting(pump, outbox)
    on_drained(pump, outbox)


cdef inline void give(
    Pump* pump, Outbox* outbox, const uint8_t* start, int64_t length, uint64_t messages, const Asset* asset, bint tamed
) noexcept nogil:
    """Have whole messages of one asset sent at the end of the batch."""
    if unlikely(not add_slice(outbox, start, length, messages, asset.id, asset.seq, tamed)):
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    outbox.published += messages
    if not outbox.touched:
        pump.touched[pump.touched_count] = outbox
        pump.touched_count += 1
        outbox.touched = pump.touched_count


cdef inline int64_t oldest(const Outbox* outbox) noexcept nogil:
    """Age of the oldest waiting byte, in ms."""
    return (now_ns(CLOCK_MONOTONIC) - outbox.head.since) // 1000000 if outbox.head != NULL else 0


cdef inline uint64_t count_pending(const Outbox* outbox, int64_t* bytes) noexcept nogil:
    """The messages that wait for their interval; adds up their bytes."""
    cdef const Subscription* list = <const Subscription*> outbox.subscriptions
    cdef const Rules* rules
    cdef uint64_t count = 0
    cdef int i
    for i in range(outbox.subscription_count):
        rules = <const Rules*> list[i].rules
        if rules != NULL:
            count += rules.pending
            bytes[0] += rules.pending_bytes
    return count


cdef inline int64_t outstanding_bytes(const Outbox* outbox) noexcept nogil:
    """Of everything that waits for it, wherever."""
    cdef int64_t bytes = outbox.queued_bytes + outbox.held_bytes
    count_pending(outbox, &bytes)
    return bytes


cdef inline void take_account(Outbox* outbox, Account* account) noexcept nogil:
    cdef int i
    settle_accounts(outbox)
    account.published = outbox.published
    account.delivered = outbox.delivered
    account.queued_bytes = outbox.queued_bytes + outbox.held_bytes
    account.queued_messages = outbox.queued_messages + outbox.held_messages + count_pending(outbox, &account.queued_bytes)
    account.skipped = outbox.skipped
    account.conflated = outbox.conflated
    account.killed = outbox.killed
    account.oldest = oldest(outbox)
    account.sent_bytes = outbox.sent_bytes
    account.last_asset = outbox.last_asset
    account.last_seq = outbox.last_seq
    for i in range(outbox.slice_count):  # of a batch that is being sent just now
        account.queued_messages += outbox.notes[i].messages
        account.queued_bytes += outbox.slices[i].iov_len


cdef inline void add_account(Account* total, const Account* account) noexcept nogil:
    total.published += account.published
    total.delivered += account.delivered
    total.queued_bytes += account.queued_bytes
    total.queued_messages += account.queued_messages
    total.skipped += account.skipped
    total.conflated += account.conflated
    total.killed += account.killed
    total.sent_bytes += account.sent_bytes
    if account.oldest > total.oldest:
        total.oldest = account.oldest


cdef inline void unrate(Pump* pump, Rules* rules) noexcept nogil:
    if rules.interval == 0:
        return
    if rules.next_rated != NULL:
        rules.next_rated.previous_rated = rules.previous_rated
    if rules.previous_rated != NULL:
        rules.previous_rated.next_rated = rules.next_rated
    else:
        pump.rated = rules.next_rated


cdef inline void end_for_good(Pump* pump, Outbox* outbox, int index) noexcept nogil:
    """End a subscription; what is still held of it is lost."""
    cdef Rules* rules = <Rules*> (<Subscription*> outbox.subscriptions)[index].rules
    end_subscription(outbox, index)
    if rules == NULL:
        return
    pump.pending -= rules.pending
    unrate(pump, rules)
    free_rules(rules)


cdef inline void drop_subscriptions(Pump* pump, Outbox* outbox) noexcept nogil:
    while outbox.subscription_count:
        end_for_good(pump, outbox, outbox.subscription_count - 1)


cdef inline void give_up(Pump* pump, Outbox* outbox, int reason, int error) noexcept nogil:
    """Let an outbox go, with a receipt. A consumer that is only slow may still be told why, see ``parting``."""
    cdef Event* event = NULL
    cdef int i
    if not outbox.parting:  # else it has been told already
        event = tell(&pump.events, OUTBOX_CLOSED)
    settle_accounts(outbox)
    if event != NULL:
        event.handle = outbox.handle
        event.reason = reason
        event.error = error
        event.number = oldest(outbox)
        event.time = outstanding_bytes(outbox)
    for i in range(outbox.slice_count):
        outbox.killed += outbox.notes[i].messages
    outbox.slice_count = 0
    drop_subscriptions(pump, outbox)
    outbox.closed = True
    pump.inbox_bytes -= outbox.inbox.counted  # it will be gone soon
    outbox.inbox.counted = 0
    if (outbox.owned and outbox.phase == OPEN
            and (reason == SLOW_CONSUMER_BYTES or reason == SLOW_CONSUMER_AGE or reason == MEMORY_PRESSURE)):
        keep_begun(outbox)
        outbox.parting = True
        if outbox.head == NULL:
            stop_waiting(pump, outbox)
    else:
        drop_queue(outbox)
        stop_waiting(pump, outbox)
        outbox.dead = True
        show_interest(pump, outbox)
    if event != NULL:
        take_account(outbox, &event.account)


cdef inline void on_drained(Pump* pump, Outbox* outbox) noexcept nogil:
    """Nothing waits any more. After the last words, the other side sees the end of the stream."""
    outbox.warned_already = False
    if outbox.phase != LEAVING:
        return
    if outbox.ssl != NULL and not outbox.end_sealed:
        seal_end(outbox, &pump.seal)
        if answer_sealed(outbox, &pump.seal) and outbox.head != NULL:
            await_writable(pump, outbox)
            return
    shutdown(outbox.fd, SHUT_WR)


cdef inline void free_outbox(Pump* pump, Outbox* outbox) noexcept nogil:
    drop_queue(outbox)
    if outbox.ssl != NULL:
        SSL_free(outbox.ssl)
        pump.encrypted -= 1
    if outbox.owned:
        if outbox.cut:  # let the kernel drop its megabytes for it, too; who did not read will not read on
            reset_on_close(outbox.fd)
        close(outbox.fd)
        pump.connections -= 1
    pump.inbox_bytes -= outbox.inbox.counted
    forget(&outbox.inbox.pending)
    forget(&outbox.inbox.message)
    free(outbox.slices)
    free(outbox.notes)
    free(outbox.subscriptions)
    free(outbox)
