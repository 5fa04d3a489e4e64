# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The relay's state: a Link for every connection, queues of those with work to do, and how links end.

Descriptors are watched by edges; a link remembers what it may still do, and waits in ``work`` while there is anything. Buffers are
shared between all links; only what a full socket did not take is copied, and freed as soon as it is sent.
"""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, strlen
from posix.unistd cimport close, read, write

from finstream._openssl cimport *
from finstream._system cimport *

cdef extern from *:
    """
    static inline void fs_add(int64_t *counter, int64_t n) { __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); }
    """
    void add "fs_add"(int64_t* counter, int64_t n) noexcept nogil

cdef enum:
    MOST_FAILURES_TOLD = 256        # waiting to be fetched; beyond that they are only counted
    TEXT_BYTES = 64
    LISTENER = 1, WAKE = 3, TIMER = 5   # odd: no addresses of links; those have bit 1 set for the pump's side
    SHAKING = 0, OPEN = 1
    CONNECTED = 0, FAILED = 1

cdef struct Piece:
    uint8_t* data                   # NULL: nothing
    int start, end

cdef struct Link:
    void* ssl
    Link* next                      # in the queue, or among the dead
    int peer_fd, pump_fd            # -1: closed, or not there yet
    int phase, slot
    int64_t deadline                # 0: none
    Piece to_peer, to_pump          # what a full socket did not take; of to_peer, OpenSSL may have begun to send the beginning
    bint queued, dead
    bint peer_readable, peer_writable, pump_readable, pump_writable, pump_ending
    bint from_pump_over, told_peer  # the pump said its last; the peer has got it all, and the end of the stream
    bint from_peer_over, told_pump  # the same the other way round
    bint broken                     # the TLS session cannot be used any more
    char[TEXT_BYTES] name

cdef struct Queue:
    Link* first
    Link* last
    int length

cdef struct Event:
    int kind, fd
    char[TEXT_BYTES] name
    char[TEXT_BYTES] reason

cdef struct Relay:
    pthread_mutex_t lock       # the certificate and the events; held for moments only
    void* context
    Event* events
    int event_count, event_room, failures_waiting
    int wish
    int epoll, wake_fd, timer_fd, listener
    int event_fd
    bint listening, starved, ringing
    int most_links, most_shaking
    int64_t handshake_time, leaving_time
    Link** links
    int link_count, link_room, shaking_count, leaving_count
    Queue work, handshakes
    Link* dead
    uint8_t* scratch
    int64_t accepted, connected, failed, open, shaking, encrypted_bytes, decrypted_bytes

cdef inline bint keep(Piece* piece, const uint8_t* data, int length) noexcept nogil:
    """False when there is no memory."""
    piece.data = <uint8_t*> malloc(length)
    if piece.data == NULL:
        return False
    memcpy(piece.data, data, length)
    piece.start = 0
    piece.end = length
    return True


cdef inline void took(Piece* piece, int length) noexcept nogil:
    piece.start += length
    if piece.start >= piece.end:
        forget(piece)


cdef inline void forget(Piece* piece) noexcept nogil:
    free(piece.data)
    piece.data = NULL


cdef inline void put_text(char* to, const char* text) noexcept nogil:
    """As much of it as TEXT_BYTES hold."""
    cdef size_t length = min(strlen(text), <size_t> TEXT_BYTES - 1)
    memcpy(to, text, length)
    to[length] = 0


cdef inline void enqueue(Relay* relay, Link* link) noexcept nogil:
    cdef Queue* queue = &relay.handshakes if link.phase == SHAKING else &relay.work
    if link.queued or link.dead:
        return
    link.queued = True
    link.next = NULL
    if queue.first == NULL:
        queue.first = link
    else:
        queue.last.next = link
    queue.last = link
    queue.length += 1


cdef inline Link* dequeue(Relay* relay, Queue* queue) noexcept nogil:
    """The next; NULL: it has died meanwhile."""
    cdef Link* link = queue.first
    queue.first = link.next
    queue.length -= 1
    link.queued = False
    if not link.dead:
        return link
    link.next = relay.dead
    relay.dead = link
    return NULL


cdef inline bint tell(Relay* relay, int kind, int fd, const char* name, const char* reason) noexcept nogil:
    cdef uint64_t one = 1
    cdef Event* event
    cdef Event* more
    cdef int room
    cdef bint done = False
    pthread_mutex_lock(&relay.lock)
    if kind == CONNECTED or relay.failures_waiting < MOST_FAILURES_TOLD:
        if relay.event_count == relay.event_room:
            room = max(16, 2 * relay.event_room)
            more = <Event*> realloc(relay.events, room * sizeof(Event))
            if more != NULL:
                relay.events = more
                relay.event_room = room
        if relay.event_count < relay.event_room:
            event = &relay.events[relay.event_count]
            relay.event_count += 1
            relay.failures_waiting += kind == FAILED
            event.kind = kind
            event.fd = fd
            put_text(event.name, name)
            put_text(event.reason, reason)
            done = True
    pthread_mutex_unlock(&relay.lock)
    if done:
        write(relay.event_fd, &one, 8)
    return done


cdef inline void listen_on(Relay* relay, bint on) noexcept nogil:
    if relay.listener >= 0 and on != relay.listening:
        if on:
            relay.listening = epoll_change(relay.epoll, EPOLL_CTL_ADD, relay.listener, EPOLLIN, LISTENER) == 0
            relay.starved = not relay.listening
        else:
            epoll_change(relay.epoll, EPOLL_CTL_DEL, relay.listener, 0, 0)
            relay.listening = False


cdef inline void let_leave(Relay* relay, Link* link) noexcept nogil:
    if link.deadline == 0:
        link.deadline = now_ns(CLOCK_MONOTONIC) + relay.leaving_time
        relay.leaving_count += 1


cdef inline void give_up(Relay* relay, Link* link) noexcept nogil:
    """The peer is gone, or broke the protocol. What it said before still reaches the pump."""
    link.broken = link.from_peer_over = True
    forget(&link.to_peer)
    let_leave(relay, link)


cdef inline void drop(Relay* relay, Link* link, bint reset) noexcept nogil:
    cdef Link* last
    if link.dead:
        return
    if link.phase == SHAKING:
        relay.shaking_count -= 1
        add(&relay.shaking, -1)
    else:
        add(&relay.open, -1)
        if link.deadline:
            relay.leaving_count -= 1
    link.dead = True
    SSL_free(link.ssl)
    if reset:
        reset_on_close(link.peer_fd)
    close(link.peer_fd)
    if link.pump_fd >= 0:
        close(link.pump_fd)
    forget(&link.to_peer)
    forget(&link.to_pump)
    relay.link_count -= 1
    last = relay.links[relay.link_count]
    last.slot = link.slot
    relay.links[link.slot] = last
    if not link.queued:
        link.next = relay.dead
        relay.dead = link


cdef inline void fail(Relay* relay, Link* link, const char* reason) noexcept nogil:
    add(&relay.failed, 1)
    tell(relay, FAILED, -1, link.name, reason)
    drop(relay, link, False)


cdef inline void bury(Relay* relay) noexcept nogil:
    # Not before the end of the turn: events of epoll may point to them.
    cdef Link* link
    while relay.dead != NULL:
        link = relay.dead
        relay.dead = link.next
        free(link)
