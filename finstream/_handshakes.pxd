# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Who connects: accepting, the TLS handshake, and a socket pair whose other end is the pump's."""

from finstream._links cimport *

cdef extern from *:
    """
    static inline int fs_pair(int *ours, int *theirs, int to_us, int to_them) {
      int both[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both)) return -1;
      *ours = both[0]; *theirs = both[1];
      setsockopt(both[1], SOL_SOCKET, SO_SNDBUF, &to_us, sizeof to_us);
      setsockopt(both[0], SOL_SOCKET, SO_SNDBUF, &to_them, sizeof to_them);
      return 0;
    }
    """
    int make_pair "fs_pair"(int* ours, int* theirs, int to_us, int to_them) noexcept nogil

cdef enum:
    FROM_PUMP_BYTES = 1 << 16       # SO_SNDBUF of the pump's end (the kernel doubles it, and counts its own overhead): what is
                                    # beyond waits in the outbox, where the bounds are, and leaves it in larger pieces
    TO_PUMP_BYTES = 1 << 15         # of ours: clients say little, and the pump may pause them
    ACCEPTS_AT_ONCE = 64
    SHAKING_NS = 1000000            # a turn's handshakes: an RSA signature takes 1 ms, and streams wait meanwhile
    PUMP_SIDE = 2


cdef inline int watch(Relay* relay, int fd, uint64_t what) noexcept nogil:
    return epoll_change(relay.epoll, EPOLL_CTL_ADD, fd, <uint32_t> (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), what)


cdef inline bint admit(Relay* relay, int fd, const char* name) noexcept nogil:
    cdef Link* link
    cdef Link** more
    cdef int room = max(64, 2 * relay.link_room)
    if relay.link_count == relay.link_room:
        more = <Link**> realloc(relay.links, room * sizeof(Link*))
        if more == NULL:
            return False
        relay.links = more
        relay.link_room = room
    link = <Link*> calloc(1, sizeof(Link))
    if link == NULL:
        return False
    pthread_mutex_lock(&relay.lock)
    link.ssl = SSL_new(relay.context)
    pthread_mutex_unlock(&relay.lock)
    link.peer_fd = fd
    link.pump_fd = -1
    if link.ssl == NULL or SSL_set_fd(link.ssl, fd) != 1 or watch(relay, fd, <uint64_t> link) < 0:
        SSL_free(link.ssl)
        free(link)
        return False
    put_text(link.name, name)
    link.peer_writable = True
    link.deadline = now_ns(CLOCK_MONOTONIC) + relay.handshake_time
    link.slot = relay.link_count
    relay.links[relay.link_count] = link
    relay.link_count += 1
    relay.shaking_count += 1
    add(&relay.shaking, 1)
    return True


cdef inline void accept_some(Relay* relay) noexcept nogil:
    cdef char[TEXT_BYTES] name
    cdef int fd
    for _ in range(ACCEPTS_AT_ONCE):
        if relay.shaking_count >= relay.most_shaking or relay.link_count >= relay.most_links:
            listen_on(relay, False)  # the backlog waits until there is room
            return
        fd = accept_connection(relay.listener, name)
        if fd < 0:
            if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                listen_on(relay, False)  # out of descriptors, say: the backlog waits until the next sweep
                relay.starved = True
            return
        add(&relay.accepted, 1)
        if not admit(relay, fd, name):
            close(fd)
            add(&relay.failed, 1)


cdef inline void shake(Relay* relay, Link* link) noexcept nogil:
    cdef int result, error, theirs
    ERR_clear_error()
    result = SSL_accept(link.ssl)
    if result != 1:
        error = SSL_get_error(link.ssl, result)
        if error == FS_SYSCALL:
            fail(relay, link, b"the peer left")
        elif error != FS_WANT_READ and error != FS_WANT_WRITE:
            fail(relay, link, openssl_reason())
        return
    if make_pair(&link.pump_fd, &theirs, FROM_PUMP_BYTES, TO_PUMP_BYTES):
        fail(relay, link, b"out of file descriptors")
        return
    if watch(relay, link.pump_fd, <uint64_t> link | PUMP_SIDE) < 0 or not tell(relay, CONNECTED, theirs, link.name, b""):
        close(theirs)
        fail(relay, link, b"out of memory")
        return
    link.phase = OPEN
    link.deadline = 0
    link.pump_writable = link.peer_writable = link.peer_readable = True
    relay.shaking_count -= 1
    add(&relay.shaking, -1)
    add(&relay.open, 1)
    add(&relay.connected, 1)
    enqueue(relay, link)  # its request may have come with the end of the handshake


cdef inline void shake_some(Relay* relay) noexcept nogil:
    cdef int64_t until
    cdef Link* link
    if relay.handshakes.length == 0:
        return
    until = now_ns(CLOCK_MONOTONIC) + SHAKING_NS
    while relay.handshakes.length and now_ns(CLOCK_MONOTONIC) < until:
        link = dequeue(relay, &relay.handshakes)
        if link != NULL:
            shake(relay, link)


cdef inline void refuse_all(Relay* relay) noexcept nogil:
    cdef int i = relay.link_count
    listen_on(relay, False)
    close(relay.listener)
    relay.listener = -1
    while i > 0:
        i -= 1
        if relay.links[i].phase == SHAKING:
            drop(relay, relay.links[i], True)
