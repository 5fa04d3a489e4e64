# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Subscriptions with a policy: what of them waits outside the outbox's queue, where it can still be dropped or merged.

A *tamed* subscription gives its messages to the outbox like any other while the consumer keeps up. While something waits in the
outbox's queue, they are *held* here instead, one by one; the pump feeds them to the queue, a few at a time, when nothing of such a
subscription is in it any more. So what a policy may drop is never further along than one feed.

A *slot* belongs to one symbol of a tamed subscription: it knows the held message that a newer one may replace, and, with a
greatest rate, when the next may go (``due``) and what waits for that moment.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from finstream._assets cimport Asset, Symbol
from finstream._digits cimport put_integer
from finstream._frames cimport put, put_header, put_text
from finstream._json cimport likely, text, unlikely
from finstream._outboxes cimport Chunk, Outbox
from finstream._queues cimport chunk_bytes, new_chunk, queue_bytes, queue_chunk

cdef enum Policy:
    KILL, SKIP, CONFLATE

cdef enum:
    FEED_BYTES = 16384              # moved from the held to the queue at once, at least one message
    MERGED_ROOM = 40                # ,"conflated":N and a longer header
    GAP_ROOM = 640                  # a gap message: twice an asset's name and a symbol, three numbers, the words

cdef struct Held:
    Held* previous
    Held* next
    int64_t since                   # ns, monotonic
    uint64_t seq
    uint64_t merged                 # how many older ones are in it
    Slot* slot                      # that it may be replaced in; NULL: it must not be
    int64_t length
    # the bytes follow, as the consumer would get them

cdef struct Slot:
    Symbol* symbol
    Held* latest                    # held, and may be replaced
    Held* pending                   # waits until ``due``
    int64_t due                     # ns, monotonic
    Slot* next_cooling

cdef struct Rules:
    # Of a tamed subscription.
    Outbox* outbox
    Asset* asset
    Symbol* symbol                  # NULL: the whole asset
    int policy
    bint merge_trades
    int64_t interval                # ns between messages of a symbol; 0: any
    Held* first
    Held* last
    int64_t bytes                   # held
    int64_t firm_bytes              # of them, those that may be neither dropped nor merged
    uint64_t count
    uint64_t pending                # messages that wait for their interval
    int64_t pending_bytes
    uint64_t gap_first
    uint64_t gap_last
    uint64_t gap_count              # skipped, and not told yet
    Slot** slots                    # by the address of their symbol; the table is never more than half full
    int slot_room
    int slot_count
    Slot* cooling                   # those whose ``due`` lies ahead, soonest first
    Slot* last_cooling
    Rules* next_rated               # in the pump's list of those with an interval
    Rules* previous_rated


cdef inline uint8_t* held_bytes(Held* held) noexcept nogil:
    return <uint8_t*> (held + 1)


cdef inline Held* new_held(const uint8_t* p, int64_t length, uint64_t seq, int64_t now) noexcept nogil:
    cdef Held* held = <Held*> malloc(sizeof(Held) + length)
    if held != NULL:
        held.previous = held.next = NULL
        held.since = now
        held.seq = seq
        held.merged = 0
        held.slot = NULL
        held.length = length
        memcpy(held_bytes(held), p, length)
    return held


cdef inline bint is_firm(const Rules* rules, const Held* held) noexcept nogil:
    return held.slot == NULL and rules.policy != SKIP


cdef inline void unlink(Rules* rules, Held* held) noexcept nogil:
    if held.previous != NULL:
        held.previous.next = held.next
    else:
        rules.first = held.next
    if held.next != NULL:
        held.next.previous = held.previous
    else:
        rules.last = held.previous
    rules.count -= 1
    rules.bytes -= held.length
    rules.outbox.held_bytes -= held.length
    rules.outbox.held_messages -= 1
    if is_firm(rules, held):
        rules.firm_bytes -= held.length
        rules.outbox.firm_bytes -= held.length
    if held.slot != NULL and held.slot.latest == held:
        held.slot.latest = NULL


cdef inline void hold(Rules* rules, Slot* slot, Held* held) noexcept nogil:
    """Let a message wait; in its slot, if it may be merged, it takes the place of the one before."""
    cdef Held* older
    if slot != NULL:
        older = slot.latest
        if older != NULL:
            unlink(rules, older)
            held.merged += older.merged + 1
            held.since = older.since
            rules.outbox.conflated += 1
            free(older)
        slot.latest = held
    held.slot = slot
    held.next = NULL
    held.previous = rules.last
    if rules.last != NULL:
        rules.last.next = held
    else:
        rules.first = held
    rules.last = held
    rules.count += 1
    rules.bytes += held.length
    rules.outbox.held_bytes += held.length
    rules.outbox.held_messages += 1
    if is_firm(rules, held):
        rules.firm_bytes += held.length
        rules.outbox.firm_bytes += held.length


cdef inline void skip_held(Rules* rules) noexcept nogil:
    """Drop what is held; the gap is told before the next message."""
    cdef Held* held
    if rules.first == NULL:
        return
    rules.gap_count += rules.count
    rules.outbox.skipped += rules.count
    while rules.first != NULL:
        held = rules.first
        # With a greatest rate they are not in order.
        if rules.gap_first == 0 or held.seq < rules.gap_first:
            rules.gap_first = held.seq
        if held.seq > rules.gap_last:
            rules.gap_last = held.seq
        unlink(rules, held)
        free(held)


cdef inline Slot* find_slot(Rules* rules, Symbol* symbol) noexcept nogil:
    """The slot of a symbol, a new one if need be; NULL when there is no memory for it."""
    cdef size_t i, j, mask
    cdef int k, room
    cdef Slot** slots
    cdef Slot* slot
    if 2 * rules.slot_count >= rules.slot_room:
        room = 2 * rules.slot_room if rules.slot_room else 4
        slots = <Slot**> calloc(room, sizeof(Slot*))
        if slots == NULL:
            return NULL
        for k in range(rules.slot_room):
            if rules.slots[k] != NULL:
                j = place_of(rules.slots[k].symbol) & <size_t> (room - 1)
                while slots[j] != NULL:
                    j = (j + 1) & <size_t> (room - 1)
                slots[j] = rules.slots[k]
        free(rules.slots)
        rules.slots = slots
        rules.slot_room = room
    mask = <size_t> (rules.slot_room - 1)
    i = place_of(symbol) & mask
    while rules.slots[i] != NULL:
        if rules.slots[i].symbol == symbol:
            return rules.slots[i]
        i = (i + 1) & mask
    slot = <Slot*> calloc(1, sizeof(Slot))
    if slot == NULL:
        return NULL
    slot.symbol = symbol
    rules.slots[i] = slot
    rules.slot_count += 1
    return slot


cdef inline size_t place_of(const Symbol* symbol) noexcept nogil:
    return (<size_t> symbol >> 4) * <size_t> 0x9e3779b97f4a7c15ull >> 20


cdef inline void cool(Rules* rules, Slot* slot) noexcept nogil:
    """To be looked at when it is due. The interval is the same for all, so the list stays in order."""
    slot.next_cooling = NULL
    if rules.last_cooling != NULL:
        rules.last_cooling.next_cooling = slot
    else:
        rules.cooling = slot
    rules.last_cooling = slot


cdef inline uint8_t* put_held(uint8_t* o, Held* held, bint lines) noexcept nogil:
    """The bytes of a held message, with the count of those merged into it. Needs MERGED_ROOM more than its length."""
    cdef uint8_t* p = held_bytes(held)
    cdef uint8_t[MERGED_ROOM] suffix
    cdef int64_t length, size
    cdef int header, n
    if likely(held.merged == 0):
        memcpy(o, p, held.length)
        return o + held.length
    n = <int> (put_integer(put(suffix, b',"conflated":'), held.merged) - suffix)
    suffix[n] = 0x7d
    n += 1
    header = 0 if lines else 2 if p[1] < 126 else 4 if p[1] == 126 else 10
    length = held.length - header - 1  # without the brace
    if lines:
        length -= 1
        memcpy(o, p, length)
        memcpy(o + length, suffix, n)
        o[length + n] = 0x0a
        return o + length + n + 1
    size = length + n
    header = 2 if size < 126 else 4 if size < 65536 else 10
    memcpy(o + header, p + held.length - 1 - length, length)
    memcpy(o + header + length, suffix, n)
    put_header(o + header, size, 1)
    return o + header + size


cdef inline bint feed_gap(Rules* rules, int64_t now) noexcept nogil:
    """Queue the message of what was skipped."""
    cdef uint8_t[GAP_ROOM] message
    cdef uint8_t* start = message + 16
    cdef uint8_t* o = start
    cdef Asset* asset = rules.asset
    cdef Symbol* symbol = rules.symbol
    cdef int header = 0
    o = put_text(put(o, b'{"type":"gap","topic":"'), asset.name, asset.name_length)
    if symbol != NULL:
        o = put_text(put(o, b':'), symbol.name, symbol.length)
    o = put_text(put(o, b'","asset":"'), asset.name, asset.name_length)
    if symbol != NULL:
        o = put_text(put(o, b'","symbol":"'), symbol.name, symbol.length)
    o = put_integer(put(o, b'","first_seq":'), rules.gap_first)
    o = put_integer(put(o, b',"last_seq":'), rules.gap_last)
    o = put_integer(put(o, b',"count":'), rules.gap_count)
    o = put(o, b',"reason":"slow_consumer"')
    o = put_text(o, asset.label.tail, asset.label.tail_length) if asset.label.tail_length else o
    o = put(o, b'}')
    if rules.outbox.lines:
        o = put(o, b'\n')
    else:
        header = put_header(start, o - start, 1)
    if not queue_bytes(rules.outbox, start - header, o - start + header, now):
        return False
    rules.outbox.tail.tamed = True
    rules.outbox.tamed_bytes += rules.outbox.tail.size
    rules.gap_count = rules.gap_first = rules.gap_last = 0
    return True


cdef inline bint feed(Rules* rules, int64_t most, bint tamed, int64_t now) noexcept nogil:
    """Move held messages of up to ``most`` bytes, at least one, to the end of the queue. ``tamed``: they do not count against the
    outbox's bounds there; else they do so from now on. False when there is no memory."""
    cdef Held* held = rules.first
    cdef Chunk* chunk
    cdef uint8_t* o
    cdef int64_t room = 0
    cdef uint64_t count = 0
    if rules.gap_count and not feed_gap(rules, now):
        return False
    if held == NULL:
        return True
    while held != NULL and (count == 0 or room + held.length <= most):
        room += held.length + (MERGED_ROOM if held.merged else 0)
        count += 1
        held = held.next
    chunk = new_chunk(room, rules.first.since if tamed else now)
    if chunk == NULL:
        return False
    o = chunk_bytes(chunk)
    chunk.asset = rules.asset.id
    chunk.messages = count
    chunk.tamed = tamed and rules.policy != KILL
    while count:
        held = rules.first
        o = put_held(o, held, rules.outbox.lines)
        chunk.seq = held.seq
        unlink(rules, held)
        free(held)
        count -= 1
    chunk.size = o - chunk_bytes(chunk)
    queue_chunk(rules.outbox, chunk)
    return True


cdef inline int64_t oldest_firm(const Rules* rules) noexcept nogil:
    """Since when the oldest message waits that may be neither dropped nor merged; 0: there is none."""
    cdef const Held* held = rules.first
    if rules.firm_bytes == 0:
        return 0
    while held != NULL and not is_firm(rules, held):
        held = held.next
    return held.since if held != NULL else 0


cdef inline void free_rules(Rules* rules) noexcept nogil:
    """What is held or pending will never be delivered."""
    cdef Held* held
    cdef int i
    rules.outbox.killed += rules.count + rules.pending
    while rules.first != NULL:
        held = rules.first
        unlink(rules, held)
        free(held)
    for i in range(rules.slot_room):
        if rules.slots[i] != NULL:
            free(rules.slots[i].pending)
            free(rules.slots[i])
    free(rules.slots)
    free(rules)
