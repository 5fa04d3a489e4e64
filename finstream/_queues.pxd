# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The queue of an outbox: what the kernel did not take waits in chunks, and is booked message by message as it goes out.

A chunk knows when it came and how many messages end in it, so the oldest byte's age and the count of delivered messages are known at
any time, also when the queue is dropped with a message partly sent.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy
from finstream._inboxes cimport MAX_CONTROL
from finstream._json cimport is_digit, unlikely
from finstream._outboxes cimport *

cdef extern from "string.h" nogil:
    void* memmem(const void*, size_t, const void*, size_t)

cdef enum:
    CHUNKS_AT_ONCE = 64 # sent in one system call
    PONG_CHUNK = -2     # in place of an asset


cdef inline uint8_t* chunk_bytes(Chunk* chunk) noexcept nogil:
    return <uint8_t*> (chunk + 1)


cdef inline int64_t message_length(bint lines, const uint8_t* p, int64_t available) noexcept nogil:
    """Of the whole message of ours that starts at ``p``, framing included."""
    cdef const uint8_t* stop
    cdef int64_t length
    cdef int i
    if lines:
        stop = <const uint8_t*> memchr(p, 0x0a, available)
        return stop - p + 1 if stop != NULL else available
    length = p[1]
    if length < 126:
        return length + 2
    if length == 126:
        return (<int64_t> p[2] << 8 | p[3]) + 4
    length = 0
    for i in range(8):
        length = length << 8 | p[2 + i]
    return length + 10


cdef inline uint64_t read_seq(const uint8_t* p, int64_t length) noexcept nogil:
    """The seq of one of our own messages; it follows the asset's name, which stands before anything a source wrote but the type."""
    cdef const uint8_t* q = <const uint8_t*> memmem(p, length, b'","seq":', 8)
    cdef uint64_t seq = 0
    if q == NULL:
        return 0
    q += 8
    while is_digit(q[0]):
        seq = seq * 10 + (q[0] - 0x30)
        q += 1
    return seq


cdef inline int64_t count_complete(
    Outbox* outbox, const uint8_t* p, int64_t size, int64_t taken, int64_t at, int asset, uint64_t* complete
) noexcept nogil:
    """Deliver, on the books, the messages of ``p`` that end within its first ``taken`` bytes.

    ``at`` is where the first message begins that the walk starts with. Returns where the first incomplete one begins.
    """
    cdef int64_t length
    while at < size:
        length = message_length(outbox.lines, p + at, size - at)
        if at + length > taken:
            break
        complete[0] += 1
        outbox.delivered += 1
        outbox.last_asset = asset
        outbox.last_seq = read_seq(p + at, length)
        at += length
    return at


cdef inline Chunk* new_chunk(int64_t size, int64_t now) noexcept nogil:
    cdef Chunk* chunk = <Chunk*> malloc(sizeof(Chunk) + size)
    if chunk != NULL:
        chunk.next = NULL
        chunk.size = 0
        chunk.sent = chunk.booked = chunk.whole = 0
        chunk.since = now
        chunk.messages = chunk.seq = chunk.whole_seq = 0
        chunk.asset = -1
        chunk.tamed = chunk.sealed = False
    return chunk


cdef inline void queue_chunk(Outbox* outbox, Chunk* chunk) noexcept nogil:
    if outbox.tail != NULL:
        outbox.tail.next = chunk
    else:
        outbox.head = chunk
    outbox.tail = chunk
    outbox.chunks += 1
    outbox.queued_bytes += chunk.size
    outbox.queued_messages += chunk.messages
    if unlikely(chunk.tamed):
        outbox.tamed_bytes += chunk.size


cdef inline void put_first(Outbox* outbox, Chunk* chunk) noexcept nogil:
    """To the head of the queue; it has no messages."""
    chunk.next = outbox.head
    outbox.head = chunk
    if outbox.tail == NULL:
        outbox.tail = chunk
    outbox.queued_bytes += chunk.size - chunk.sent
    if chunk.tamed:
        outbox.tamed_bytes += chunk.size - chunk.sent


cdef inline void take_first(Outbox* outbox) noexcept nogil:
    """From the head of the queue; it has no messages, and is the caller's then."""
    cdef Chunk* chunk = outbox.head
    outbox.head = chunk.next
    if outbox.head == NULL:
        outbox.tail = NULL
    outbox.queued_bytes -= chunk.size - chunk.sent
    if chunk.tamed:
        outbox.tamed_bytes -= chunk.size - chunk.sent


cdef inline bint queue_bytes(Outbox* outbox, const uint8_t* p, int64_t size, int64_t now) noexcept nogil:
    """Let a control frame, or its rest, wait."""
    cdef Chunk* chunk = new_chunk(size, now)
    if chunk == NULL:
        return False
    memcpy(chunk_bytes(chunk), p, size)
    chunk.size = size
    queue_chunk(outbox, chunk)
    return True


cdef inline bint queue_pong(Outbox* outbox, const uint8_t* p, int64_t size, int64_t now) noexcept nogil:
    """As ``queue_bytes``, of at most MAX_CONTROL + 2; but a pong that waits last is replaced."""
    cdef Chunk* chunk = outbox.tail
    if chunk != NULL and chunk.asset == PONG_CHUNK and chunk.sent == 0 and not chunk.sealed:
        outbox.queued_bytes += size - chunk.size
    else:
        chunk = new_chunk(MAX_CONTROL + 2, now)
        if chunk == NULL:
            return False
        chunk.asset = PONG_CHUNK
        chunk.size = size
        queue_chunk(outbox, chunk)
    memcpy(chunk_bytes(chunk), p, size)
    chunk.size = size
    return True


cdef inline bint queue_slices(Outbox* outbox, int64_t taken, int64_t now) noexcept nogil:
    """The kernel took the first ``taken`` bytes of the batch: deliver what those complete, let the rest wait.

    Neighbouring slices of one asset share a chunk. False when there is no memory for one; the notes then still hold the messages
    that are neither delivered nor queued.
    """
    cdef Chunk* chunk = NULL
    cdef SliceNote* note
    cdef const uint8_t* p
    cdef int64_t size, at, room
    cdef uint64_t complete
    cdef int i, j
    for i in range(outbox.slice_count):
        note = &outbox.notes[i]
        p = <const uint8_t*> outbox.slices[i].iov_base
        size = outbox.slices[i].iov_len
        if taken >= size:
            taken -= size
            outbox.delivered += note.messages
            note.messages = 0  # booked
            outbox.last_asset = note.asset
            outbox.last_seq = note.seq
            continue
        complete = 0
        at = 0
        if taken:
            at = count_complete(outbox, p, size, taken, 0, note.asset, &complete)
            note.messages -= complete
        if chunk != NULL and (chunk.asset != note.asset or chunk.tamed != note.tamed):
            queue_chunk(outbox, chunk)
            chunk = NULL
        if chunk == NULL:
            room = size
            j = i + 1
            while j < outbox.slice_count and outbox.notes[j].asset == note.asset and outbox.notes[j].tamed == note.tamed:
                room += outbox.slices[j].iov_len
                j += 1
            chunk = new_chunk(room - taken, now)
            if chunk == NULL:
                return False
            chunk.asset = note.asset
            chunk.tamed = note.tamed
            if at < taken:
                chunk.whole = at + message_length(outbox.lines, p + at, size - at) - taken
                chunk.whole_seq = read_seq(p + at, size - at)
        memcpy(chunk_bytes(chunk) + chunk.size, p + taken, size - taken)
        chunk.size += size - taken
        chunk.messages += note.messages
        note.messages = 0
        chunk.seq = note.seq
        taken = 0
    if chunk != NULL:
        queue_chunk(outbox, chunk)
    return True


cdef inline void advance(Outbox* outbox, int64_t taken) noexcept nogil:
    """The kernel took ``taken`` more bytes of what was waiting in the first chunk."""
    cdef Chunk* chunk = outbox.head
    chunk.sent += taken
    outbox.sent_bytes += taken
    outbox.queued_bytes -= taken
    if unlikely(chunk.tamed):
        outbox.tamed_bytes -= taken
    if chunk.sent < chunk.size:
        return
    outbox.delivered += chunk.messages
    outbox.queued_messages -= chunk.messages
    if chunk.messages:
        outbox.last_asset = chunk.asset
        outbox.last_seq = chunk.seq
    outbox.head = chunk.next
    outbox.chunks -= 1
    if outbox.head == NULL:
        outbox.tail = NULL
    free(chunk)


cdef inline bint send_queue(Outbox* outbox) noexcept nogil:
    """Send of what waits as much as one system call takes. False: nothing was taken, see errno."""
    cdef iovec[CHUNKS_AT_ONCE] parts
    cdef msghdr message
    cdef Chunk* chunk = outbox.head
    cdef ssize_t n
    cdef int count = 0
    while chunk != NULL and count < CHUNKS_AT_ONCE:
        parts[count].iov_base = chunk_bytes(chunk) + chunk.sent
        parts[count].iov_len = chunk.size - chunk.sent
        count += 1
        chunk = chunk.next
    clear_message(&message)
    message.msg_iov = parts
    message.msg_iovlen = count
    n = sendmsg(outbox.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
    if n < 0:
        return False
    advance_all(outbox, n)
    return True


cdef inline void advance_all(Outbox* outbox, int64_t taken) noexcept nogil:
    cdef int64_t part
    while taken > 0:
        part = min(outbox.head.size - outbox.head.sent, taken)
        advance(outbox, part)
        taken -= part


cdef inline void settle_accounts(Outbox* outbox) noexcept nogil:
    """Deliver, on the books, the messages at the head of the queue that went out although their chunk is not finished."""
    cdef Chunk* chunk = outbox.head
    cdef uint64_t complete = 0
    if chunk != NULL and chunk.sealed:
        chunk = chunk.next
    if chunk == NULL or chunk.messages == 0:
        return
    if chunk.whole:
        if chunk.sent < chunk.whole:
            return
        chunk.booked = chunk.whole
        chunk.whole = 0
        complete = 1
        outbox.delivered += 1
        outbox.last_asset = chunk.asset
        outbox.last_seq = chunk.whole_seq
    chunk.booked = count_complete(
        outbox, chunk_bytes(chunk), chunk.size, chunk.sent, chunk.booked, chunk.asset, &complete)
    chunk.messages -= complete
    outbox.queued_messages -= complete


cdef inline void keep_begun(Outbox* outbox) noexcept nogil:
    """Of what waits, leave only what cannot be taken back: what is sealed, and the rest of a message that is under way."""
    cdef Chunk* sealed = outbox.head if outbox.head != NULL and outbox.head.sealed else NULL
    if sealed != NULL:
        take_first(outbox)
    keep_partial(outbox)
    if sealed != NULL:
        put_first(outbox, sealed)


cdef inline void keep_bytes(Outbox* outbox, int64_t start) noexcept nogil:
    """Move the only chunk's bytes from ``start`` on to memory of their own size, and free the rest for others.

    Made smaller where it is, it would leave a gap in which the next one, as large as this one was, does not fit: a thousand
    evictions would take a thousand times a batch's memory."""
    cdef Chunk* chunk = outbox.head
    cdef Chunk* kept = new_chunk(chunk.size - start, chunk.since)
    if kept == NULL:
        return
    kept[0] = chunk[0]
    kept.size -= start
    kept.sent -= start
    kept.booked -= start
    memcpy(chunk_bytes(kept), chunk_bytes(chunk) + start, kept.size)
    outbox.head = outbox.tail = kept
    free(chunk)


cdef inline void keep_partial(Outbox* outbox) noexcept nogil:
    """Of what waits, leave only the rest of the message that is partly sent: the other side could not make sense of anything
    else after it. All others will never be delivered."""
    cdef Chunk* chunk = outbox.head
    cdef Chunk* next
    cdef int64_t stop, start = 0
    settle_accounts(outbox)
    if chunk == NULL or chunk.sent == 0 and chunk.whole == 0:
        stop = 0
    elif chunk.messages == 0:
        stop = chunk.size if chunk.sent < chunk.size else 0  # a control frame
    elif chunk.whole:
        stop = chunk.whole
    elif chunk.sent > chunk.booked:
        start = chunk.booked
        stop = start + message_length(outbox.lines, chunk_bytes(chunk) + start, chunk.size - start)
    else:
        stop = 0
    if stop == 0:
        drop_queue(outbox)
        return
    next = chunk.next
    chunk.next = NULL
    outbox.tail = chunk
    outbox.chunks = 1
    while next != NULL:
        chunk = next
        next = chunk.next
        free(chunk)
    chunk = outbox.head
    if chunk.messages:
        if chunk.whole:
            chunk.seq = chunk.whole_seq
        else:
            chunk.seq = read_seq(chunk_bytes(chunk) + chunk.booked, chunk.size - chunk.booked)
        chunk.messages = 1
        outbox.killed += outbox.queued_messages - 1
        outbox.queued_messages = 1
    else:
        outbox.killed += outbox.queued_messages
        outbox.queued_messages = 0
    chunk.size = stop
    keep_bytes(outbox, start)
    chunk = outbox.head
    outbox.queued_bytes = chunk.size - chunk.sent
    outbox.tamed_bytes = outbox.queued_bytes if chunk.tamed else 0


cdef inline void drop_queue(Outbox* outbox) noexcept nogil:
    """What waits will never be delivered."""
    cdef Chunk* chunk
    settle_accounts(outbox)
    outbox.cut = outbox.cut or outbox.head != NULL
    outbox.killed += outbox.queued_messages
    outbox.queued_messages = 0
    outbox.queued_bytes = outbox.tamed_bytes = 0
    outbox.chunks = 0
    while outbox.head != NULL:
        chunk = outbox.head
        outbox.head = chunk.next
        free(chunk)
    outbox.tail = NULL
