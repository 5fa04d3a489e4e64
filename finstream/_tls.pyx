# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True
"""The TLS acceptor: accepts connections, does their handshakes, and hands over socket and session of those that succeeded.

One thread without the GIL, with an epoll of its own, so that no handshake holds up the pump or Python. Everything about strangers
belongs to that thread; what it shares with others is the certificate, the list of events and the count of connections (all under
``lock``), counters that anybody may read, and ``wish``.

    accept_some → shake_some → tell (_handshakes, _strangers)
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New

from finstream._handshakes cimport *

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


cdef inline void loop(Acceptor* acceptor) noexcept nogil:
    cdef epoll_event[EVENTS_AT_ONCE] events
    cdef uint64_t what, rung
    cdef bint asked, swept
    cdef int i, n
    listen_on(acceptor, True)
    while not load(&acceptor.wish):
        n = epoll_wait(acceptor.epoll, events, EVENTS_AT_ONCE, 0 if acceptor.queue_length else -1)
        if n < 0 and errno != EINTR:
            return
        asked = swept = False
        for i in range(n):
            what = events[i].data.u64
            if what == LISTENER:
                asked = True
            elif what == WAKE:
                read(acceptor.wake_fd, &rung, 8)
            elif what == TIMER:
                read(acceptor.timer_fd, &rung, 8)
                swept = True
            else:
                enqueue(acceptor, <Stranger*> what)
        shake_some(acceptor)
        if asked and acceptor.listening:
            accept_some(acceptor)
        if swept:
            sweep(acceptor)
        bury(acceptor)
        if not acceptor.listening and not acceptor.starved:
            store(&acceptor.full, count_room(acceptor) <= 0)
            listen_on(acceptor, not acceptor.full and acceptor.stranger_count < acceptor.most_strangers)
        look_at_timer(acceptor)


cdef inline void sweep(Acceptor* acceptor) noexcept nogil:
    cdef int64_t now = now_ns(CLOCK_MONOTONIC)
    cdef Stranger* stranger
    cdef uint64_t one = 1
    cdef bint crowded = acceptor.stranger_count >= acceptor.most_strangers
    cdef int i = acceptor.stranger_count
    acceptor.starved = False
    while i > 0:
        i -= 1  # backwards: whoever is dropped is replaced by one that has been looked at
        stranger = acceptor.strangers[i]
        if stranger.deadline <= now:
            fail(acceptor, stranger, b"no handshake in time")
        elif crowded and not stranger.queued and now - stranger.asked >= CROWDED_PATIENCE_NS:
            fail(acceptor, stranger, b"no handshake in time, and others wait")
    if acceptor.full:
        write(acceptor.event_fd, &one, 8)  # have the connections counted again


cdef inline void look_at_timer(Acceptor* acceptor) noexcept nogil:
    cdef bint needed = acceptor.stranger_count > 0 or acceptor.starved or acceptor.full
    if needed != acceptor.ringing:
        acceptor.ringing = needed
        ring_every(acceptor.timer_fd, SWEEP_MS if needed else 0)


cdef void end_session(object capsule) noexcept:
    SSL_free(PyCapsule_GetPointer(capsule, b"finstream.tls"))  # whoever has taken it over has counted himself


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

    @property
    def valid_from_s(self):
        return validity(self.context, False)

    @property
    def valid_until_s(self):
        return validity(self.context, True)

    def __dealloc__(self):
        if self.context != NULL:  # sessions that use it keep it
            SSL_CTX_free(self.context)


cdef class NativeAcceptor:
    cdef Acceptor acceptor
    cdef Certificate certificate
    cdef bint used
    cdef int64_t told

    @property
    def event_fd(self):
        return self.acceptor.event_fd

    def __cinit__(self, Certificate certificate not None, *, int most_connections, int most_handshakes, int64_t handshake_ms):
        self.acceptor.epoll = self.acceptor.wake_fd = self.acceptor.timer_fd = self.acceptor.event_fd = self.acceptor.listener = -1
        pthread_mutex_init(&self.acceptor.lock, NULL)
        self.certificate = certificate
        self.acceptor.context = certificate.context
        self.acceptor.most = most_connections
        self.acceptor.most_strangers = most_handshakes
        self.acceptor.patience = handshake_ms * 1000000
        self.acceptor.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.acceptor.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.acceptor.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.acceptor.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if (
            self.acceptor.epoll < 0 or self.acceptor.wake_fd < 0 or self.acceptor.event_fd < 0 or self.acceptor.timer_fd < 0
            or epoll_change(self.acceptor.epoll, EPOLL_CTL_ADD, self.acceptor.wake_fd, EPOLLIN, WAKE) < 0
            or epoll_change(self.acceptor.epoll, EPOLL_CTL_ADD, self.acceptor.timer_fd, EPOLLIN, TIMER) < 0
        ):
            raise OSError(errno, "the TLS acceptor cannot be set up")

    def __dealloc__(self):
        cdef int i
        for i in range(self.acceptor.event_count):
            if self.acceptor.events[i].ssl != NULL:
                close(self.acceptor.events[i].fd)
                SSL_free(self.acceptor.events[i].ssl)
        for fd in (self.acceptor.epoll, self.acceptor.wake_fd, self.acceptor.timer_fd, self.acceptor.event_fd):
            if fd >= 0:
                close(fd)
        free(self.acceptor.events)
        free(self.acceptor.strangers)
        pthread_mutex_destroy(&self.acceptor.lock)

    # --- for other threads ----------------------------------------------------------------------------------------------

    def run(self, int listener):
        cdef sigset_t before
        if self.used:
            raise ValueError("an acceptor runs once")
        self.used = True
        self.acceptor.listener = fcntl(listener, F_DUPFD_CLOEXEC, 3)  # so that nobody can close it under our feet
        if self.acceptor.listener < 0:
            raise OSError(errno, "the TLS acceptor cannot use the listener")
        with nogil:
            hold_sigpipe(&before)
            loop(&self.acceptor)
            end_all(&self.acceptor)
            let_sigpipe(&before)

    def stop(self):
        store(&self.acceptor.wish, 1)
        self.wake()

    cdef wake(self):
        cdef uint64_t one = 1
        write(self.acceptor.wake_fd, &one, 8)

    def renew(self, Certificate certificate not None):
        former = self.certificate  # freed only once nobody can find it here
        pthread_mutex_lock(&self.acceptor.lock)
        self.certificate = certificate
        self.acceptor.context = certificate.context
        pthread_mutex_unlock(&self.acceptor.lock)
        del former

    def take_events(self):
        cdef Event* events
        cdef int i, n
        cdef uint64_t rung
        read(self.acceptor.event_fd, &rung, 8)
        pthread_mutex_lock(&self.acceptor.lock)
        events, n = self.acceptor.events, self.acceptor.event_count
        self.acceptor.events = NULL
        self.acceptor.event_count = self.acceptor.event_room = self.acceptor.failures_waiting = 0
        pthread_mutex_unlock(&self.acceptor.lock)
        taken = []
        for i in range(n):
            session = None
            if events[i].ssl != NULL:
                session = PyCapsule_New(events[i].ssl, b"finstream.tls", end_session)
                self.told += 1
            taken.append((session, events[i].fd, (<bytes> events[i].name).decode(), (<bytes> events[i].reason).decode()))
        free(events)
        return taken

    def tell_open(self, int64_t count):
        pthread_mutex_lock(&self.acceptor.lock)
        self.acceptor.occupied = count
        self.acceptor.occupied_of = self.told
        pthread_mutex_unlock(&self.acceptor.lock)
        if load(&self.acceptor.full):
            self.wake()

    def statistics(self):
        return (
            count(&self.acceptor.accepted), count(&self.acceptor.connected), count(&self.acceptor.failed),
            count(&self.acceptor.shaking),
        )
