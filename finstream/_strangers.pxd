# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The acceptor's state: a Stranger for every connection whose handshake is under way, the queue of those with work to do, and the list
of what there is to tell.
"""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
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
    LISTENER = 1, WAKE = 2, TIMER = 3   # no addresses of strangers

cdef struct Stranger:
    void* ssl
    Stranger* next                  # in the queue, or among the dead
    int fd, slot
    int64_t deadline
    int64_t asked                   # since when it is its turn to speak
    bint queued, dead
    char[TEXT_BYTES] name

cdef struct Event:
    void* ssl                       # NULL: the handshake has failed
    int fd
    char[TEXT_BYTES] name
    char[TEXT_BYTES] reason

cdef struct Acceptor:
    pthread_mutex_t lock            # for what others touch, too; held for moments only:
    void* context
    Event* events
    int event_count, event_room, failures_waiting
    int64_t occupied                # connections that others held
    int64_t occupied_of             # when so many handshakes had succeeded
    # All else belongs to the thread, but that anybody may read the counters:
    int wish
    int epoll, wake_fd, timer_fd, listener
    int event_fd
    bint listening, ringing
    bint starved                    # of descriptors, say: the backlog waits until the next sweep
    int full                        # no more connections are allowed: it waits until some have gone
    int most, most_strangers
    int64_t patience                # ns
    Stranger** strangers
    int stranger_count, stranger_room
    Stranger* first                 # of the queue
    Stranger* last
    int queue_length
    Stranger* dead
    int64_t accepted, connected, failed, shaking


cdef inline void put_text(char* to, const char* text) noexcept nogil:
    """As much of it as TEXT_BYTES hold."""
    cdef size_t length = min(strlen(text), <size_t> TEXT_BYTES - 1)
    memcpy(to, text, length)
    to[length] = 0


cdef inline void enqueue(Acceptor* acceptor, Stranger* stranger) noexcept nogil:
    if stranger.queued or stranger.dead:
        return
    stranger.queued = True
    stranger.next = NULL
    if acceptor.first == NULL:
        acceptor.first = stranger
    else:
        acceptor.last.next = stranger
    acceptor.last = stranger
    acceptor.queue_length += 1


cdef inline Stranger* dequeue(Acceptor* acceptor) noexcept nogil:
    """The next; NULL: it has died meanwhile."""
    cdef Stranger* stranger = acceptor.first
    acceptor.first = stranger.next
    acceptor.queue_length -= 1
    stranger.queued = False
    if not stranger.dead:
        return stranger
    stranger.next = acceptor.dead
    acceptor.dead = stranger
    return NULL


cdef inline bint tell(Acceptor* acceptor, const Stranger* stranger, const char* failure) noexcept nogil:
    """``failure`` NULL: the handshake has succeeded, and descriptor and session go to whoever is told. False: there is no memory."""
    cdef uint64_t one = 1
    cdef Event* event
    cdef Event* more
    cdef int room
    cdef bint done = False
    pthread_mutex_lock(&acceptor.lock)
    if failure == NULL or acceptor.failures_waiting < MOST_FAILURES_TOLD:
        if acceptor.event_count == acceptor.event_room:
            room = max(16, 2 * acceptor.event_room)
            more = <Event*> realloc(acceptor.events, room * sizeof(Event))
            if more != NULL:
                acceptor.events = more
                acceptor.event_room = room
        if acceptor.event_count < acceptor.event_room:
            event = &acceptor.events[acceptor.event_count]
            acceptor.event_count += 1
            acceptor.failures_waiting += failure != NULL
            event.ssl = stranger.ssl if failure == NULL else NULL
            event.fd = stranger.fd
            put_text(event.name, stranger.name)
            if failure != NULL:
                put_text(event.reason, failure)
            else:
                event.reason[0] = 0
            done = True
    pthread_mutex_unlock(&acceptor.lock)
    if done:
        write(acceptor.event_fd, &one, 8)
    return done


cdef inline int64_t count_room(Acceptor* acceptor) noexcept nogil:
    """How many more may be accepted: besides strangers, and those that nobody has counted yet, there are those that others hold."""
    cdef int64_t others
    pthread_mutex_lock(&acceptor.lock)
    others = acceptor.occupied + acceptor.connected - acceptor.occupied_of
    pthread_mutex_unlock(&acceptor.lock)
    return acceptor.most - others - acceptor.stranger_count


cdef inline void listen_on(Acceptor* acceptor, bint on) noexcept nogil:
    if acceptor.listener >= 0 and on != acceptor.listening:
        if on:
            acceptor.listening = epoll_change(acceptor.epoll, EPOLL_CTL_ADD, acceptor.listener, EPOLLIN, LISTENER) == 0
            acceptor.starved = not acceptor.listening
        else:
            epoll_change(acceptor.epoll, EPOLL_CTL_DEL, acceptor.listener, 0, 0)
            acceptor.listening = False


cdef inline void forget(Acceptor* acceptor, Stranger* stranger) noexcept nogil:
    """What it has is another's, or closed."""
    cdef Stranger* last
    stranger.dead = True
    acceptor.stranger_count -= 1
    add(&acceptor.shaking, -1)
    last = acceptor.strangers[acceptor.stranger_count]
    last.slot = stranger.slot
    acceptor.strangers[stranger.slot] = last
    if not stranger.queued:
        stranger.next = acceptor.dead
        acceptor.dead = stranger


cdef inline void drop(Acceptor* acceptor, Stranger* stranger, bint reset) noexcept nogil:
    SSL_free(stranger.ssl)
    if reset:
        reset_on_close(stranger.fd)
    close(stranger.fd)
    forget(acceptor, stranger)


cdef inline void fail(Acceptor* acceptor, Stranger* stranger, const char* reason) noexcept nogil:
    add(&acceptor.failed, 1)
    tell(acceptor, stranger, reason)
    drop(acceptor, stranger, False)


cdef inline void bury(Acceptor* acceptor) noexcept nogil:
    # Not before the end of the turn: events of epoll may point to them.
    cdef Stranger* stranger
    while acceptor.dead != NULL:
        stranger = acceptor.dead
        acceptor.dead = stranger.next
        free(stranger)
