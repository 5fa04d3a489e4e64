# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True
"""The TLS relay: accepts encrypted connections, and passes bytes on between each and a socket pair whose other end is the pump's.

One thread without the GIL, with an epoll of its own. Of every connection there is one Link. Everything about links belongs to
that thread; what it shares with others is the certificate and the list of events (both under ``lock``), counters that anybody may
read, and ``wish``. So no handshake and no encryption holds up the pump or Python, and neither of them holds up the relay.

    accept → shake (SSL_accept, a few at a time) → socketpair, event "connected" → move_to_peer, move_to_pump → drop

Descriptors are watched by edges; a link remembers what it may still do, and waits in ``work`` while there is anything. Buffers are
shared between all links; only what a full socket did not take is copied, and freed as soon as it is sent.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, strncpy
from posix.unistd cimport close, read, write

from finstream._openssl cimport *

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/socket.h>
    #include <sys/timerfd.h>
    #include <time.h>
    static inline int64_t fs_now(void) {
      struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int fs_watch(int set, int fd, uint32_t events, uint64_t data) {
      struct epoll_event e; e.events = events; e.data.u64 = data; return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
    }
    static inline int fs_unwatch(int set, int fd) { struct epoll_event e; return epoll_ctl(set, EPOLL_CTL_DEL, fd, &e); }
    static inline int fs_accept(int listener, char *name) {
      struct sockaddr_storage a; socklen_t size = sizeof a; int one = 1; char host[INET6_ADDRSTRLEN] = "?";
      int fd = accept4(listener, (struct sockaddr *)&a, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return -1;
      name[0] = 0;
      if (a.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(name, 64, "%s:%u", host, ntohs(v4->sin_port));
      } else if (a.ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(name, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
      }
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      return fd;
    }
    static inline void fs_reset_on_close(int fd) {
      struct linger l = {1, 0}; setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    /* While corked, only full segments leave: of several records that makes few, and wakes the peer less. */
    static inline void fs_cork(int fd, int on) { setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on); }
    static inline int fs_pair(int *ours, int *theirs, int to_us, int to_them) {
      int both[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both)) return -1;
      *ours = both[0]; *theirs = both[1];
      setsockopt(both[1], SOL_SOCKET, SO_SNDBUF, &to_us, sizeof to_us);
      setsockopt(both[0], SOL_SOCKET, SO_SNDBUF, &to_them, sizeof to_them);
      return 0;
    }
    static inline int fs_ring_every(int timer, int ms) {
      struct itimerspec t = {{ms / 1000, ms % 1000 * 1000000L}, {ms / 1000, ms % 1000 * 1000000L}};
      return timerfd_settime(timer, 0, &t, NULL);
    }
    static inline int fs_duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }
    /* OpenSSL writes to sockets without MSG_NOSIGNAL. The thread may be used for other things later: put back what was. */
    static inline int fs_hold_sigpipe(sigset_t *before) {
      sigset_t pipe; sigemptyset(&pipe); sigaddset(&pipe, SIGPIPE); return pthread_sigmask(SIG_BLOCK, &pipe, before);
    }
    static inline void fs_let_sigpipe(const sigset_t *before) {
      sigset_t pipe; struct timespec none = {0, 0};
      sigemptyset(&pipe); sigaddset(&pipe, SIGPIPE);
      while (sigtimedwait(&pipe, NULL, &none) > 0) {}
      pthread_sigmask(SIG_SETMASK, before, NULL);
    }
    static inline int fs_load(int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
    static inline void fs_store(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
    static inline int64_t fs_count(int64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }
    static inline void fs_add(int64_t *counter, int64_t n) { __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); }
    """
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct sigset_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*) nogil
    int pthread_mutex_destroy(pthread_mutex_t*) nogil
    int pthread_mutex_lock(pthread_mutex_t*) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept nogil
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int) nogil
    int epoll_wait(int, epoll_event*, int, int) noexcept nogil
    int eventfd(unsigned int, int) nogil
    int timerfd_create(int clock, int flags) nogil
    ssize_t recv(int fd, void* data, size_t length, int flags) noexcept nogil
    ssize_t send(int fd, const void* data, size_t length, int flags) noexcept nogil
    int shutdown(int fd, int how) noexcept nogil
    int EPOLLIN, EPOLLOUT, EPOLLET, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLL_CLOEXEC, EFD_CLOEXEC, EFD_NONBLOCK, TFD_CLOEXEC, TFD_NONBLOCK
    int CLOCK_MONOTONIC, MSG_NOSIGNAL, SHUT_WR
    int64_t now_ns "fs_now"() noexcept nogil
    int watch "fs_watch"(int set, int fd, uint32_t events, uint64_t data) noexcept nogil
    int unwatch "fs_unwatch"(int set, int fd) noexcept nogil
    int accept_connection "fs_accept"(int listener, char* name) noexcept nogil
    void reset_on_close "fs_reset_on_close"(int fd) noexcept nogil
    void cork "fs_cork"(int fd, int on) noexcept nogil
    int make_pair "fs_pair"(int* ours, int* theirs, int to_us, int to_them) noexcept nogil
    int ring_every "fs_ring_every"(int timer, int ms) noexcept nogil
    int duplicate "fs_duplicate"(int fd) noexcept nogil
    int hold_sigpipe "fs_hold_sigpipe"(sigset_t* before) noexcept nogil
    void let_sigpipe "fs_let_sigpipe"(sigset_t* before) noexcept nogil
    int load "fs_load"(int* flag) noexcept nogil
    void store "fs_store"(int* flag, int value) noexcept nogil
    int64_t count "fs_count"(int64_t* counter) noexcept nogil
    void add "fs_add"(int64_t* counter, int64_t n) noexcept nogil

cdef enum:
    SCRATCH_BYTES = 1 << 16         # read of the pump at once: four records; also the most that one link keeps for a full socket
    RECORD_BYTES = 1 << 14          # the most that one TLS record holds
    TURN_BYTES = 1 << 18            # for one peer, then it is another's turn
    READS_AT_ONCE = 4               # of one peer's records
    FROM_PUMP_BYTES = 1 << 16         # SO_SNDBUF of the pump's end (the kernel doubles it, and counts its own overhead): what is beyond waits
                                    # in the outbox, where the bounds are, and leaves it in larger pieces
    TO_PUMP_BYTES = 1 << 15         # of ours: clients say little, and the pump may pause them
    EVENTS_AT_ONCE = 256            # of epoll
    ACCEPTS_AT_ONCE = 64
    SHAKING_NS = 1000000            # a turn's handshakes: an RSA signature takes 1 ms, and streams wait meanwhile
    SWEEP_MS = 250
    MOST_FAILURES_TOLD = 256        # waiting to be fetched; beyond that they are only counted
    TEXT_BYTES = 64
    LISTENER = 1, WAKE = 3, TIMER = 5   # odd: no addresses of links; those have bit 1 set for the pump's side
    PUMP_SIDE = 2
    WISH_SERVE = 0, WISH_REFUSE = 1, WISH_END = 2, WISH_END_NOW = 3
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

cdef class Certificate:
    """A certificate chain with its key, as connections use it.

    Raises ValueError with two arguments, ``library``, ``cert_file`` or ``key_file``, and the reason.
    """
    cdef void* context

    def __cinit__(self, bytes cert_file not None, bytes key_file not None):
        cdef const char* missing = load_openssl()
        if missing != NULL:
            raise ValueError("library", f"{missing.decode()} cannot be loaded")
        ERR_clear_error()
        self.context = new_context()
        if self.context == NULL:
            raise ValueError("library", openssl_reason().decode())
        if SSL_CTX_use_certificate_chain_file(self.context, PyBytes_AS_STRING(cert_file)) != 1:
            raise ValueError("cert_file", openssl_reason().decode())
        if SSL_CTX_use_PrivateKey_file(self.context, PyBytes_AS_STRING(key_file), 1) != 1:
            raise ValueError("key_file", openssl_reason().decode())
        if SSL_CTX_check_private_key(self.context) != 1:
            raise ValueError("key_file", openssl_reason().decode())

    def __dealloc__(self):
        if self.context != NULL:  # sessions that use it keep it
            SSL_CTX_free(self.context)

cdef class NativeRelay:
    cdef pthread_mutex_t lock       # the certificate and the events; held for moments only
    cdef Certificate certificate
    cdef void* context
    cdef Event* events
    cdef int event_count, event_room, failures_waiting
    cdef int wish
    cdef int epoll, wake_fd, timer_fd, listener
    cdef readonly int event_fd
    cdef bint listening, starved, ringing, used
    cdef int most_links, most_shaking
    cdef int64_t handshake_time, leaving_time
    cdef Link** links
    cdef int link_count, link_room, shaking_count, leaving_count
    cdef Queue work, handshakes
    cdef Link* dead
    cdef uint8_t* scratch
    cdef int64_t accepted, connected, failed, open, shaking, encrypted_bytes, decrypted_bytes

    def __cinit__(
        self, Certificate certificate not None, *, int most_connections, int most_handshakes, int64_t handshake_ms, int64_t leaving_ms
    ):
        self.epoll = self.wake_fd = self.timer_fd = self.event_fd = self.listener = -1
        pthread_mutex_init(&self.lock, NULL)
        self.certificate = certificate
        self.context = certificate.context
        self.most_links = most_connections
        self.most_shaking = most_handshakes
        self.handshake_time = handshake_ms * 1000000
        self.leaving_time = leaving_ms * 1000000
        self.scratch = <uint8_t*> malloc(SCRATCH_BYTES)
        if self.scratch == NULL:
            raise MemoryError()
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if (
            self.epoll < 0 or self.wake_fd < 0 or self.event_fd < 0 or self.timer_fd < 0
            or watch(self.epoll, self.wake_fd, EPOLLIN, WAKE) or watch(self.epoll, self.timer_fd, EPOLLIN, TIMER)
        ):
            raise OSError(errno, "the TLS relay cannot be set up")

    def __dealloc__(self):
        cdef int i
        for i in range(self.event_count):
            if self.events[i].kind == CONNECTED:
                close(self.events[i].fd)
        for fd in (self.epoll, self.wake_fd, self.timer_fd, self.event_fd):
            if fd >= 0:
                close(fd)
        free(self.events)
        free(self.links)
        free(self.scratch)
        pthread_mutex_destroy(&self.lock)

    # --- for other threads ----------------------------------------------------------------------------------------------

    def run(self, int listener):
        cdef sigset_t before
        if self.used:
            raise ValueError("a relay runs once")
        self.used = True
        self.listener = duplicate(listener)  # so that nobody can close it under our feet
        if self.listener < 0:
            raise OSError(errno, "the TLS relay cannot use the listener")
        with nogil:
            hold_sigpipe(&before)
            self.loop()
            self.end_all()
            let_sigpipe(&before)

    def stop_listening(self):
        self.wish_for(WISH_REFUSE)

    def stop(self, bint now=False):
        self.wish_for(WISH_END_NOW if now else WISH_END)

    cdef wish_for(self, int wish):
        cdef uint64_t one = 1
        if wish > load(&self.wish):
            store(&self.wish, wish)
        write(self.wake_fd, &one, 8)

    def renew(self, Certificate certificate not None):
        former = self.certificate  # freed only once nobody can find it here
        pthread_mutex_lock(&self.lock)
        self.certificate = certificate
        self.context = certificate.context
        pthread_mutex_unlock(&self.lock)
        del former

    def take_events(self):
        cdef Event* events
        cdef int i, n
        cdef uint64_t rung
        read(self.event_fd, &rung, 8)
        pthread_mutex_lock(&self.lock)
        events, n = self.events, self.event_count
        self.events = NULL
        self.event_count = self.event_room = self.failures_waiting = 0
        pthread_mutex_unlock(&self.lock)
        taken = []
        for i in range(n):
            taken.append((
                events[i].fd if events[i].kind == CONNECTED else -1, (<bytes> events[i].name).decode(), (<bytes> events[i].reason).decode()
            ))
        free(events)
        return taken

    def statistics(self):
        return (
            count(&self.accepted), count(&self.connected), count(&self.failed), count(&self.open), count(&self.shaking),
            count(&self.encrypted_bytes), count(&self.decrypted_bytes),
        )

    # --- the thread -----------------------------------------------------------------------------------------------------

    cdef void loop(self) noexcept nogil:
        cdef epoll_event[EVENTS_AT_ONCE] events
        cdef uint64_t what, rung
        cdef bint asked, swept
        cdef int i, n, wish
        self.listen_on(True)
        while True:
            n = epoll_wait(self.epoll, events, EVENTS_AT_ONCE, 0 if self.work.length or self.handshakes.length else -1)
            if n < 0 and errno != EINTR:
                return
            asked = swept = False
            for i in range(n):
                what = events[i].data.u64
                if what == LISTENER:
                    asked = True
                elif what == WAKE:
                    read(self.wake_fd, &rung, 8)
                elif what == TIMER:
                    read(self.timer_fd, &rung, 8)
                    swept = True
                elif what & PUMP_SIDE:
                    self.see_pump(<Link*> (what - PUMP_SIDE), events[i].events)
                else:
                    self.see_peer(<Link*> what, events[i].events)
            wish = load(&self.wish)
            if wish == WISH_END_NOW:
                return
            self.relay_all()
            self.shake_some()
            if asked and self.listening:
                self.accept_some()
            if wish >= WISH_REFUSE and self.listener >= 0:
                self.refuse_all()
            if wish == WISH_END:
                self.hurry()
            if swept:
                self.sweep()
            self.bury()
            if wish == WISH_END and self.link_count == 0:
                return
            if swept:
                self.starved = False
            if not self.listening and not self.starved:
                self.listen_on(self.shaking_count < self.most_shaking and self.link_count < self.most_links)
            self.look_at_timer()

    cdef void see_pump(self, Link* link, uint32_t events) noexcept nogil:
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            link.pump_readable = True
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            link.pump_ending = True
        if events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            link.pump_writable = True
        self.enqueue(link)

    cdef void see_peer(self, Link* link, uint32_t events) noexcept nogil:
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            link.peer_readable = True
        if events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            link.peer_writable = True
        self.enqueue(link)

    cdef void enqueue(self, Link* link) noexcept nogil:
        cdef Queue* queue = &self.handshakes if link.phase == SHAKING else &self.work
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

    cdef Link* dequeue(self, Queue* queue) noexcept nogil:
        """The next; NULL: it has died meanwhile."""
        cdef Link* link = queue.first
        queue.first = link.next
        queue.length -= 1
        link.queued = False
        if not link.dead:
            return link
        link.next = self.dead
        self.dead = link
        return NULL

    cdef void relay_all(self) noexcept nogil:
        cdef Link* link
        for _ in range(self.work.length):  # those that want to go on are queued behind
            link = self.dequeue(&self.work)
            if link != NULL and self.relay(link):
                self.enqueue(link)

    cdef bint relay(self, Link* link) noexcept nogil:
        """True: there is more to do at once."""
        cdef bint again = self.move_to_peer(link)
        if self.move_to_pump(link):
            again = True
        if link.broken and not link.told_peer:
            self.discard(link)
        if link.told_peer and link.told_pump and link.from_peer_over:
            self.drop(link, False)
        return again

    # --- from the pump to the peer ---

    cdef bint move_to_peer(self, Link* link) noexcept nogil:
        cdef int left = TURN_BYTES
        cdef int taken
        cdef ssize_t got
        while not link.told_peer and not link.broken:
            if link.to_peer.data != NULL:
                taken = self.encrypt(link, link.to_peer.data + link.to_peer.start, link.to_peer.end - link.to_peer.start)
                took(&link.to_peer, taken)
                if link.to_peer.data != NULL:
                    return False
            elif link.from_pump_over:
                self.say_goodbye(link)
                return False
            elif not link.pump_readable:
                return False
            elif left <= 0:
                return True
            else:
                got = recv(link.pump_fd, self.scratch, SCRATCH_BYTES, 0)
                if got > 0:
                    left -= <int> got
                    # A short read has emptied it: the next bytes come with an edge. The end may have had its edge already.
                    if got < SCRATCH_BYTES and not link.pump_ending:
                        link.pump_readable = False
                    taken = self.encrypt(link, self.scratch, <int> got)
                    if taken < got and not link.broken and not keep(&link.to_peer, self.scratch + taken, <int> got - taken):
                        self.drop(link, True)
                        return False
                elif got < 0 and errno == EINTR:
                    continue
                elif got < 0 and errno == EAGAIN:
                    link.pump_readable = False
                else:
                    link.from_pump_over = True
                    self.let_leave(link)
        return False

    cdef int encrypt(self, Link* link, const uint8_t* data, int length) noexcept nogil:
        """How many bytes are on their way; fewer when the socket is full, or the link broken."""
        cdef int done = 0
        cdef int result, error
        cdef bint corked = length > RECORD_BYTES and link.peer_writable
        if corked:
            cork(link.peer_fd, 1)
        while done < length and link.peer_writable:
            ERR_clear_error()
            result = SSL_write(link.ssl, data + done, min(length - done, RECORD_BYTES))
            if result > 0:
                done += result
                continue
            error = SSL_get_error(link.ssl, result)
            if error == FS_WANT_WRITE:
                link.peer_writable = False
            elif error != FS_WANT_READ:
                self.give_up(link)
            break
        if corked:
            cork(link.peer_fd, 0)
        add(&self.encrypted_bytes, done)
        return done

    cdef void say_goodbye(self, Link* link) noexcept nogil:
        cdef int result
        if not link.peer_writable:
            return
        ERR_clear_error()
        result = SSL_shutdown(link.ssl)
        if result < 0 and SSL_get_error(link.ssl, result) == FS_WANT_WRITE:
            link.peer_writable = False
            return
        if result < 0:
            self.give_up(link)
            return
        shutdown(link.peer_fd, SHUT_WR)
        link.told_peer = True

    cdef void discard(self, Link* link) noexcept nogil:
        """Nobody gets it any more; the pump is let come to its end."""
        cdef ssize_t got = 1
        while link.pump_readable and got > 0:
            got = recv(link.pump_fd, self.scratch, SCRATCH_BYTES, 0)
        if got < 0 and errno == EAGAIN:
            link.pump_readable = False
        elif got <= 0:
            link.told_peer = True

    # --- from the peer to the pump ---

    cdef bint move_to_pump(self, Link* link) noexcept nogil:
        cdef int got, error
        cdef int left = READS_AT_ONCE
        while not link.dead:
            if link.to_pump.data != NULL and not link.told_pump:
                if not link.pump_writable:
                    return False
                took(&link.to_pump, self.pass_on(link, link.to_pump.data + link.to_pump.start, link.to_pump.end - link.to_pump.start))
            elif link.from_peer_over:
                if not link.told_pump:
                    shutdown(link.pump_fd, SHUT_WR)
                    link.told_pump = True
                return False
            elif not link.peer_readable:
                return False
            elif left == 0:
                return True
            else:
                left -= 1
                ERR_clear_error()
                got = SSL_read(link.ssl, self.scratch, RECORD_BYTES)
                if got > 0:
                    add(&self.decrypted_bytes, got)
                    if link.told_pump:
                        continue  # unread bytes would make a reset of our close, which takes the last words away
                    error = self.pass_on(link, self.scratch, got)
                    if error < got and not link.told_pump and not keep(&link.to_pump, self.scratch + error, got - error):
                        self.drop(link, True)
                        return False
                    continue
                error = SSL_get_error(link.ssl, got)
                if error == FS_WANT_READ:
                    link.peer_readable = False
                elif error == FS_WANT_WRITE:
                    link.peer_writable = False
                    return False
                elif error == FS_ZERO_RETURN:
                    link.from_peer_over = True
                    self.let_leave(link)
                else:
                    self.give_up(link)
        return False

    cdef int pass_on(self, Link* link, const uint8_t* data, int length) noexcept nogil:
        cdef ssize_t sent = send(link.pump_fd, data, length, MSG_NOSIGNAL)
        if sent >= 0:
            return <int> sent
        if errno == EAGAIN:
            link.pump_writable = False
        elif errno != EINTR:
            link.told_pump = True  # it does not listen any more
        return 0

    # --- endings ---

    cdef void give_up(self, Link* link) noexcept nogil:
        """The peer is gone, or broke the protocol. What it said before still reaches the pump."""
        link.broken = link.from_peer_over = True
        forget(&link.to_peer)
        self.let_leave(link)

    cdef void let_leave(self, Link* link) noexcept nogil:
        if link.deadline == 0:
            link.deadline = now_ns() + self.leaving_time
            self.leaving_count += 1

    cdef void drop(self, Link* link, bint reset) noexcept nogil:
        cdef Link* last
        if link.dead:
            return
        if link.phase == SHAKING:
            self.shaking_count -= 1
            add(&self.shaking, -1)
        else:
            add(&self.open, -1)
            if link.deadline:
                self.leaving_count -= 1
        link.dead = True
        SSL_free(link.ssl)
        if reset:
            reset_on_close(link.peer_fd)
        close(link.peer_fd)
        if link.pump_fd >= 0:
            close(link.pump_fd)
        forget(&link.to_peer)
        forget(&link.to_pump)
        self.link_count -= 1
        last = self.links[self.link_count]
        last.slot = link.slot
        self.links[link.slot] = last
        if not link.queued:
            link.next = self.dead
            self.dead = link

    cdef void bury(self) noexcept nogil:
        # Not before the end of the turn: events of epoll may point to them.
        cdef Link* link
        while self.dead != NULL:
            link = self.dead
            self.dead = link.next
            free(link)

    cdef void sweep(self) noexcept nogil:
        cdef int64_t now = now_ns()
        cdef int i = self.link_count
        while i > 0:
            i -= 1  # backwards: whoever is dropped is replaced by one that has been looked at
            if 0 < self.links[i].deadline <= now:
                if self.links[i].phase == SHAKING:
                    self.fail(self.links[i], b"no handshake in time")
                else:
                    self.drop(self.links[i], True)

    cdef void hurry(self) noexcept nogil:
        cdef int i
        for i in range(self.link_count):
            self.let_leave(self.links[i])

    cdef void refuse_all(self) noexcept nogil:
        cdef int i = self.link_count
        self.listen_on(False)
        close(self.listener)
        self.listener = -1
        while i > 0:
            i -= 1
            if self.links[i].phase == SHAKING:
                self.drop(self.links[i], True)

    cdef void end_all(self) noexcept nogil:
        while self.link_count:
            self.drop(self.links[self.link_count - 1], True)
        while self.work.length:
            self.dequeue(&self.work)
        while self.handshakes.length:
            self.dequeue(&self.handshakes)
        self.bury()
        if self.listener >= 0:
            self.listen_on(False)
            close(self.listener)
            self.listener = -1

    # --- beginnings ---

    cdef void listen_on(self, bint on) noexcept nogil:
        if self.listener >= 0 and on != self.listening:
            if on:
                self.listening = watch(self.epoll, self.listener, EPOLLIN, LISTENER) == 0
                self.starved = not self.listening
            else:
                unwatch(self.epoll, self.listener)
                self.listening = False

    cdef void look_at_timer(self) noexcept nogil:
        cdef bint needed = self.shaking_count > 0 or self.leaving_count > 0 or self.starved
        if needed != self.ringing:
            self.ringing = needed
            ring_every(self.timer_fd, SWEEP_MS if needed else 0)

    cdef void accept_some(self) noexcept nogil:
        cdef char[TEXT_BYTES] name
        cdef int fd
        for _ in range(ACCEPTS_AT_ONCE):
            if self.shaking_count >= self.most_shaking or self.link_count >= self.most_links:
                self.listen_on(False)  # the backlog waits until there is room
                return
            fd = accept_connection(self.listener, name)
            if fd < 0:
                if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                    self.listen_on(False)  # out of descriptors, say: the backlog waits until the next sweep
                    self.starved = True
                return
            add(&self.accepted, 1)
            if not self.admit(fd, name):
                close(fd)
                add(&self.failed, 1)

    cdef bint admit(self, int fd, const char* name) noexcept nogil:
        cdef Link* link
        cdef Link** more
        cdef int room = max(64, 2 * self.link_room)
        if self.link_count == self.link_room:
            more = <Link**> realloc(self.links, room * sizeof(Link*))
            if more == NULL:
                return False
            self.links = more
            self.link_room = room
        link = <Link*> calloc(1, sizeof(Link))
        if link == NULL:
            return False
        pthread_mutex_lock(&self.lock)
        link.ssl = SSL_new(self.context)
        pthread_mutex_unlock(&self.lock)
        link.peer_fd = fd
        link.pump_fd = -1
        if link.ssl == NULL or SSL_set_fd(link.ssl, fd) != 1 or watch(
            self.epoll, fd, <uint32_t> (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), <uint64_t> link
        ):
            SSL_free(link.ssl)
            free(link)
            return False
        strncpy(link.name, name, TEXT_BYTES - 1)
        link.peer_writable = True
        link.deadline = now_ns() + self.handshake_time
        link.slot = self.link_count
        self.links[self.link_count] = link
        self.link_count += 1
        self.shaking_count += 1
        add(&self.shaking, 1)
        return True

    cdef void shake_some(self) noexcept nogil:
        cdef int64_t until
        cdef Link* link
        if self.handshakes.length == 0:
            return
        until = now_ns() + SHAKING_NS
        while self.handshakes.length and now_ns() < until:
            link = self.dequeue(&self.handshakes)
            if link != NULL:
                self.shake(link)

    cdef void shake(self, Link* link) noexcept nogil:
        cdef int result, error, theirs
        ERR_clear_error()
        result = SSL_accept(link.ssl)
        if result != 1:
            error = SSL_get_error(link.ssl, result)
            if error == FS_SYSCALL:
                self.fail(link, b"the peer left")
            elif error != FS_WANT_READ and error != FS_WANT_WRITE:
                self.fail(link, openssl_reason())
            return
        if make_pair(&link.pump_fd, &theirs, FROM_PUMP_BYTES, TO_PUMP_BYTES):
            self.fail(link, b"out of file descriptors")
            return
        if watch(
            self.epoll, link.pump_fd, <uint32_t> (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), <uint64_t> link | PUMP_SIDE
        ) or not self.tell(CONNECTED, theirs, link.name, b""):
            close(theirs)
            self.fail(link, b"out of memory")
            return
        link.phase = OPEN
        link.deadline = 0
        link.pump_writable = link.peer_writable = link.peer_readable = True
        self.shaking_count -= 1
        add(&self.shaking, -1)
        add(&self.open, 1)
        add(&self.connected, 1)
        self.enqueue(link)  # its request may have come with the end of the handshake

    cdef void fail(self, Link* link, const char* reason) noexcept nogil:
        add(&self.failed, 1)
        self.tell(FAILED, -1, link.name, reason)
        self.drop(link, False)

    cdef bint tell(self, int kind, int fd, const char* name, const char* reason) noexcept nogil:
        cdef uint64_t one = 1
        cdef Event* event
        cdef Event* more
        cdef int room
        cdef bint done = False
        pthread_mutex_lock(&self.lock)
        if kind == CONNECTED or self.failures_waiting < MOST_FAILURES_TOLD:
            if self.event_count == self.event_room:
                room = max(16, 2 * self.event_room)
                more = <Event*> realloc(self.events, room * sizeof(Event))
                if more != NULL:
                    self.events = more
                    self.event_room = room
            if self.event_count < self.event_room:
                event = &self.events[self.event_count]
                self.event_count += 1
                self.failures_waiting += kind == FAILED
                event.kind = kind
                event.fd = fd
                strncpy(event.name, name, TEXT_BYTES - 1)
                strncpy(event.reason, reason, TEXT_BYTES - 1)
                event.name[TEXT_BYTES - 1] = event.reason[TEXT_BYTES - 1] = 0
                done = True
        pthread_mutex_unlock(&self.lock)
        if done:
            write(self.event_fd, &one, 8)
        return done
