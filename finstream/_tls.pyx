# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True
"""The TLS relay: accepts encrypted connections, and passes bytes on between each and a socket pair whose other end is the pump's.

One thread without the GIL, with an epoll of its own. Everything about links belongs to that thread; what it shares with others is
the certificate and the list of events (both under ``lock``), counters that anybody may read, and ``wish``. So no handshake and no
encryption holds up the pump or Python, and neither of them holds up the relay.

    accept_some → shake (_handshakes), event "connected" → serve: move_to_peer, move_to_pump (_relaying) → drop (_links)
"""

from cpython.bytes cimport PyBytes_AS_STRING

from finstream._handshakes cimport *
from finstream._relaying cimport *

cdef extern from *:
    """
    #include <signal.h>
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
    static inline int64_t fs_count(int64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }
    """
    ctypedef struct sigset_t:
        pass
    int hold_sigpipe "fs_hold_sigpipe"(sigset_t* before) noexcept nogil
    void let_sigpipe "fs_let_sigpipe"(sigset_t* before) noexcept nogil
    int64_t count "fs_count"(int64_t* counter) noexcept nogil

cdef enum:
    EVENTS_AT_ONCE = 256            # of epoll
    SWEEP_MS = 250
    WISH_SERVE = 0, WISH_REFUSE = 1, WISH_END = 2, WISH_END_NOW = 3


cdef inline void loop(Relay* relay) noexcept nogil:
    cdef epoll_event[EVENTS_AT_ONCE] events
    cdef uint64_t what, rung
    cdef bint asked, swept
    cdef int i, n, wish
    listen_on(relay, True)
    while True:
        n = epoll_wait(relay.epoll, events, EVENTS_AT_ONCE, 0 if relay.work.length or relay.handshakes.length else -1)
        if n < 0 and errno != EINTR:
            return
        asked = swept = False
        for i in range(n):
            what = events[i].data.u64
            if what == LISTENER:
                asked = True
            elif what == WAKE:
                read(relay.wake_fd, &rung, 8)
            elif what == TIMER:
                read(relay.timer_fd, &rung, 8)
                swept = True
            elif what & PUMP_SIDE:
                see_pump(relay, <Link*> (what - PUMP_SIDE), events[i].events)
            else:
                see_peer(relay, <Link*> what, events[i].events)
        wish = load(&relay.wish)
        if wish == WISH_END_NOW:
            return
        relay_all(relay)
        shake_some(relay)
        if asked and relay.listening:
            accept_some(relay)
        if wish >= WISH_REFUSE and relay.listener >= 0:
            refuse_all(relay)
        if wish == WISH_END:
            hurry(relay)
        if swept:
            sweep(relay)
        bury(relay)
        if wish == WISH_END and relay.link_count == 0:
            return
        if swept:
            relay.starved = False
        if not relay.listening and not relay.starved:
            listen_on(relay, relay.shaking_count < relay.most_shaking and relay.link_count < relay.most_links)
        look_at_timer(relay)


cdef inline void sweep(Relay* relay) noexcept nogil:
    cdef int64_t now = now_ns(CLOCK_MONOTONIC)
    cdef int i = relay.link_count
    while i > 0:
        i -= 1  # backwards: whoever is dropped is replaced by one that has been looked at
        if 0 < relay.links[i].deadline <= now:
            if relay.links[i].phase == SHAKING:
                fail(relay, relay.links[i], b"no handshake in time")
            else:
                drop(relay, relay.links[i], True)


cdef inline void hurry(Relay* relay) noexcept nogil:
    cdef int i
    for i in range(relay.link_count):
        let_leave(relay, relay.links[i])


cdef inline void end_all(Relay* relay) noexcept nogil:
    while relay.link_count:
        drop(relay, relay.links[relay.link_count - 1], True)
    while relay.work.length:
        dequeue(relay, &relay.work)
    while relay.handshakes.length:
        dequeue(relay, &relay.handshakes)
    bury(relay)
    if relay.listener >= 0:
        listen_on(relay, False)
        close(relay.listener)
        relay.listener = -1


cdef inline void look_at_timer(Relay* relay) noexcept nogil:
    cdef bint needed = relay.shaking_count > 0 or relay.leaving_count > 0 or relay.starved
    if needed != relay.ringing:
        relay.ringing = needed
        ring_every(relay.timer_fd, SWEEP_MS if needed else 0)


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
    cdef Relay relay
    cdef Certificate certificate
    cdef bint used

    @property
    def event_fd(self):
        return self.relay.event_fd

    def __cinit__(
        self, Certificate certificate not None, *, int most_connections, int most_handshakes, int64_t handshake_ms,
        int64_t leaving_ms,
    ):
        self.relay.epoll = self.relay.wake_fd = self.relay.timer_fd = self.relay.event_fd = self.relay.listener = -1
        pthread_mutex_init(&self.relay.lock, NULL)
        self.certificate = certificate
        self.relay.context = certificate.context
        self.relay.most_links = most_connections
        self.relay.most_shaking = most_handshakes
        self.relay.handshake_time = handshake_ms * 1000000
        self.relay.leaving_time = leaving_ms * 1000000
        self.relay.scratch = <uint8_t*> malloc(SCRATCH_BYTES)
        if self.relay.scratch == NULL:
            raise MemoryError()
        self.relay.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.relay.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.relay.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.relay.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if (
            self.relay.epoll < 0 or self.relay.wake_fd < 0 or self.relay.event_fd < 0 or self.relay.timer_fd < 0
            or epoll_change(self.relay.epoll, EPOLL_CTL_ADD, self.relay.wake_fd, EPOLLIN, WAKE) < 0
            or epoll_change(self.relay.epoll, EPOLL_CTL_ADD, self.relay.timer_fd, EPOLLIN, TIMER) < 0
        ):
            raise OSError(errno, "the TLS relay cannot be set up")

    def __dealloc__(self):
        cdef int i
        for i in range(self.relay.event_count):
            if self.relay.events[i].kind == CONNECTED:
                close(self.relay.events[i].fd)
        for fd in (self.relay.epoll, self.relay.wake_fd, self.relay.timer_fd, self.relay.event_fd):
            if fd >= 0:
                close(fd)
        free(self.relay.events)
        free(self.relay.links)
        free(self.relay.scratch)
        pthread_mutex_destroy(&self.relay.lock)

    # --- for other threads ----------------------------------------------------------------------------------------------

    def run(self, int listener):
        cdef sigset_t before
        if self.used:
            raise ValueError("a relay runs once")
        self.used = True
        self.relay.listener = fcntl(listener, F_DUPFD_CLOEXEC, 3)  # so that nobody can close it under our feet
        if self.relay.listener < 0:
            raise OSError(errno, "the TLS relay cannot use the listener")
        with nogil:
            hold_sigpipe(&before)
            loop(&self.relay)
            end_all(&self.relay)
            let_sigpipe(&before)

    def stop_listening(self):
        self.wish_for(WISH_REFUSE)

    def stop(self, bint now=False):
        self.wish_for(WISH_END_NOW if now else WISH_END)

    cdef wish_for(self, int wish):
        cdef uint64_t one = 1
        if wish > load(&self.relay.wish):
            store(&self.relay.wish, wish)
        write(self.relay.wake_fd, &one, 8)

    def renew(self, Certificate certificate not None):
        former = self.certificate  # freed only once nobody can find it here
        pthread_mutex_lock(&self.relay.lock)
        self.certificate = certificate
        self.relay.context = certificate.context
        pthread_mutex_unlock(&self.relay.lock)
        del former

    def take_events(self):
        cdef Event* events
        cdef int i, n
        cdef uint64_t rung
        read(self.relay.event_fd, &rung, 8)
        pthread_mutex_lock(&self.relay.lock)
        events, n = self.relay.events, self.relay.event_count
        self.relay.events = NULL
        self.relay.event_count = self.relay.event_room = self.relay.failures_waiting = 0
        pthread_mutex_unlock(&self.relay.lock)
        taken = []
        for i in range(n):
            fd = events[i].fd if events[i].kind == CONNECTED else -1
            taken.append((fd, (<bytes> events[i].name).decode(), (<bytes> events[i].reason).decode()))
        free(events)
        return taken

    def statistics(self):
        return (
            count(&self.relay.accepted), count(&self.relay.connected), count(&self.relay.failed), count(&self.relay.open),
            count(&self.relay.shaking), count(&self.relay.encrypted_bytes), count(&self.relay.decrypted_bytes),
        )
