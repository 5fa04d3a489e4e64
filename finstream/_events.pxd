# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What the pump has to tell the control plane: a list that it appends to and the other side takes away whole.

The endings of sources and outboxes are always told. Lines, which come at the sources' pleasure, are told as long as there is room.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset
from posix.unistd cimport write

cdef enum:
    MAX_LINE_EVENTS = 1 << 16
    LINE_BURST = 1024               # rejected lines of one asset that are told at once,
    LINES_PER_SECOND = 1024         # and in the long run; the others are counted
    STATUS_BURST = 128              # the same of status lines, so that garbage cannot displace them
    STATUSES_PER_SECOND = 32

cdef struct Bucket:
    # Tokens, one a line.
    int64_t tokens                  # in billionths
    int64_t filled                  # ns: when it was looked at last

cdef enum EventKind:
    SOURCE_ENDED, SOURCE_OVERFLOWED, BLOCK_BUFFERED, LINE_REJECTED, STATUS_LINE, OUTBOX_CLOSED
    REQUESTED, MESSAGE, PEER_CLOSED, PEER_FAULT, PEER_SILENT, HALF_FULL, MEMORY_MARK, SWITCHED

cdef enum CloseReason:
    SLOW_CONSUMER_BYTES, SLOW_CONSUMER_AGE, CONNECTION_LOST, FINISHED, MEMORY_PRESSURE

cdef struct Account:
    # An outbox's figures, as told to Python.
    uint64_t published
    uint64_t delivered
    uint64_t queued_messages
    uint64_t skipped
    uint64_t conflated
    uint64_t killed
    int64_t queued_bytes
    int64_t oldest
    uint64_t sent_bytes
    int last_asset
    uint64_t last_seq

cdef struct Event:
    int kind
    int64_t handle
    int asset
    int reason
    int error
    int64_t number                  # a length, an age
    int64_t time
    int64_t text                    # offset into the events' text
    int text_length
    Account account

cdef struct Events:
    int fd                          # an eventfd, written when the first event comes
    uint64_t dropped                # lines that nobody was told of
    Event* items
    int count
    int room
    uint8_t* text
    int64_t text_length
    int64_t text_room
    int64_t line_room               # how much of it lines may fill


cdef inline Event* tell(Events* events, int kind) noexcept nogil:
    """A new event, zeroed but for its kind; NULL when there is no memory for it."""
    cdef void* grown
    cdef uint64_t one = 1
    if events.count == events.room:
        grown = realloc(events.items, (events.room * 2 + 16) * sizeof(Event))
        if grown == NULL:
            events.dropped += 1
            return NULL
        events.items = <Event*> grown
        events.room = events.room * 2 + 16
    if events.count == 0:
        write(events.fd, &one, 8)
    events.count += 1
    memset(&events.items[events.count - 1], 0, sizeof(Event))
    events.items[events.count - 1].kind = kind
    return &events.items[events.count - 1]


cdef inline bint take_token(Bucket* bucket, int64_t now, int64_t burst, int64_t per_second) noexcept nogil:
    cdef int64_t passed = now - bucket.filled
    if bucket.filled == 0 or passed < 0 or passed > 1000000000:
        passed = 1000000000
    if bucket.filled == 0:
        bucket.tokens = burst * 1000000000
    bucket.filled = now
    bucket.tokens += passed * per_second
    if bucket.tokens > burst * 1000000000:
        bucket.tokens = burst * 1000000000
    if bucket.tokens < 1000000000:
        return False
    bucket.tokens -= 1000000000
    return True


cdef inline Event* tell_text(Events* events, int kind, int64_t length) noexcept nogil:
    """An event with room for a text, which the caller writes. Unlike lines, requests are not dropped: who sends them is made to
    wait instead. NULL when there is no memory for it."""
    cdef Event* event
    cdef void* grown
    if events.text_length + length > events.text_room:
        grown = realloc(events.text, events.text_room * 2 + length)
        if grown == NULL:
            return NULL
        events.text = <uint8_t*> grown
        events.text_room = events.text_room * 2 + length
    event = tell(events, kind)
    if event != NULL:
        event.text = events.text_length
        event.text_length = <int> length
        events.text_length += length
    return event


cdef inline bint tell_line(
    Events* events, int kind, int asset, int reason, const uint8_t* p, int64_t keep, int64_t length, int64_t received
) noexcept nogil:
    """Tell of a line, unless the control plane is so far behind that its share of memory is used up. Whether it was told."""
    cdef Event* event
    # Rejected lines leave a quarter to the status lines.
    cdef int share = 4 if kind == STATUS_LINE else 3
    if events.text_length + keep > events.line_room // 4 * share or events.count >= MAX_LINE_EVENTS // 4 * share:
        events.dropped += 1
        return False
    event = tell(events, kind)
    if event == NULL:
        return False
    memcpy(events.text + events.text_length, p, keep)
    event.asset = asset
    event.reason = reason
    event.number = length
    event.time = received
    event.text = events.text_length
    event.text_length = <int> keep
    events.text_length += keep
    return True
