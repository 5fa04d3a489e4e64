# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Accepting, and the TLS handshake; whoever has shaken hands is handed over, socket and session."""

from finstream._strangers cimport *

cdef enum:
    ACCEPTS_AT_ONCE = 64
    CROWDED_PATIENCE_NS = 2000000000   # for an answer while others cannot even knock: longer than any network takes
    SHAKING_NS = 1000000            # a turn's handshakes: an RSA signature takes 1 ms, and others knock meanwhile


cdef inline bint admit(Acceptor* acceptor, int fd, const char* name) noexcept nogil:
    cdef Stranger* stranger
    cdef Stranger** more
    cdef int room = max(64, 2 * acceptor.stranger_room)
    if acceptor.stranger_count == acceptor.stranger_room:
        more = <Stranger**> realloc(acceptor.strangers, room * sizeof(Stranger*))
        if more == NULL:
            return False
        acceptor.strangers = more
        acceptor.stranger_room = room
    stranger = <Stranger*> calloc(1, sizeof(Stranger))
    if stranger == NULL:
        return False
    pthread_mutex_lock(&acceptor.lock)
    stranger.ssl = SSL_new(acceptor.context)
    pthread_mutex_unlock(&acceptor.lock)
    stranger.fd = fd
    if stranger.ssl == NULL or SSL_set_fd(stranger.ssl, fd) != 1 or epoll_change(
            acceptor.epoll, EPOLL_CTL_ADD, fd, <uint32_t> (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), <uint64_t> stranger) < 0:
        SSL_free(stranger.ssl)
        free(stranger)
        return False
    put_text(stranger.name, name)
    stranger.asked = now_ns(CLOCK_MONOTONIC)
    stranger.deadline = stranger.asked + acceptor.patience
    stranger.slot = acceptor.stranger_count
    acceptor.strangers[acceptor.stranger_count] = stranger
    acceptor.stranger_count += 1
    add(&acceptor.shaking, 1)
    return True


cdef inline void accept_some(Acceptor* acceptor) noexcept nogil:
    cdef char[TEXT_BYTES] name
    cdef int fd
    cdef int64_t room = count_room(acceptor)
    for _ in range(ACCEPTS_AT_ONCE):
        if room <= 0 or acceptor.stranger_count >= acceptor.most_strangers:
            listen_on(acceptor, False)  # the backlog waits until there is room
            store(&acceptor.full, room <= 0)
            return
        fd = accept_connection(acceptor.listener, name)
        if fd < 0:
            if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                listen_on(acceptor, False)
                acceptor.starved = True
            return
        room -= 1
        add(&acceptor.accepted, 1)
        if not admit(acceptor, fd, name):
            close(fd)
            add(&acceptor.failed, 1)


cdef inline void shake(Acceptor* acceptor, Stranger* stranger) noexcept nogil:
    cdef int result, error
    ERR_clear_error()
    result = SSL_accept(stranger.ssl)
    if result != 1:
        error = SSL_get_error(stranger.ssl, result)
        if error == FS_SYSCALL:
            fail(acceptor, stranger, b"the peer left")
        elif error != FS_WANT_READ and error != FS_WANT_WRITE:
            fail(acceptor, stranger, openssl_reason())
        else:
            stranger.asked = now_ns(CLOCK_MONOTONIC)
        return
    epoll_change(acceptor.epoll, EPOLL_CTL_DEL, stranger.fd, 0, 0)
    add(&acceptor.connected, 1)  # first, so that at no moment there seems to be more room than there is
    if tell(acceptor, stranger, NULL):
        forget(acceptor, stranger)
    else:
        add(&acceptor.connected, -1)
        fail(acceptor, stranger, b"out of memory")


cdef inline void shake_some(Acceptor* acceptor) noexcept nogil:
    cdef int64_t until
    cdef Stranger* stranger
    if acceptor.queue_length == 0:
        return
    until = now_ns(CLOCK_MONOTONIC) + SHAKING_NS
    while acceptor.queue_length and now_ns(CLOCK_MONOTONIC) < until:
        stranger = dequeue(acceptor)
        if stranger != NULL:
            shake(acceptor, stranger)


cdef inline void end_all(Acceptor* acceptor) noexcept nogil:
    listen_on(acceptor, False)
    close(acceptor.listener)
    acceptor.listener = -1
    while acceptor.stranger_count:
        drop(acceptor, acceptor.strangers[acceptor.stranger_count - 1], True)
    while acceptor.queue_length:
        dequeue(acceptor)
    bury(acceptor)
