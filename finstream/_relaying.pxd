# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Bytes from the pump to the peer, encrypted, and from the peer to the pump; and the last words in both directions."""

from finstream._links cimport *

cdef extern from *:
    """
    /* While corked, only full segments leave: of several records that makes few, and wakes the peer less. */
    static inline void fs_cork(int fd, int on) { setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on); }
    """
    int MSG_NOSIGNAL
    ssize_t send(int fd, const void* data, size_t length, int flags) noexcept nogil
    void cork "fs_cork"(int fd, int on) noexcept nogil

cdef enum:
    SCRATCH_BYTES = 1 << 16         # read of the pump at once: four records; also the most that one link keeps for a full socket
    RECORD_BYTES = 1 << 14          # the most that one TLS record holds
    TURN_BYTES = 1 << 18            # for one peer, then it is another's turn
    READS_AT_ONCE = 4               # of one peer's records


cdef inline void see_pump(Relay* relay, Link* link, uint32_t events) noexcept nogil:
    if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        link.pump_readable = True
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        link.pump_ending = True
    if events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
        link.pump_writable = True
    enqueue(relay, link)


cdef inline void see_peer(Relay* relay, Link* link, uint32_t events) noexcept nogil:
    if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        link.peer_readable = True
    if events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
        link.peer_writable = True
    enqueue(relay, link)


cdef inline int encrypt(Relay* relay, Link* link, const uint8_t* data, int length) noexcept nogil:
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
            give_up(relay, link)
        break
    if corked:
        cork(link.peer_fd, 0)
    add(&relay.encrypted_bytes, done)
    return done


cdef inline void say_goodbye(Relay* relay, Link* link) noexcept nogil:
    cdef int result
    if not link.peer_writable:
        return
    ERR_clear_error()
    result = SSL_shutdown(link.ssl)
    if result < 0 and SSL_get_error(link.ssl, result) == FS_WANT_WRITE:
        link.peer_writable = False
        return
    if result < 0:
        give_up(relay, link)
        return
    shutdown(link.peer_fd, SHUT_WR)
    link.told_peer = True


cdef inline void discard(Relay* relay, Link* link) noexcept nogil:
    """Nobody gets it any more; the pump is let come to its end."""
    cdef ssize_t got = 1
    while link.pump_readable and got > 0:
        got = recv(link.pump_fd, relay.scratch, SCRATCH_BYTES, 0)
    if got < 0 and errno == EAGAIN:
        link.pump_readable = False
    elif got <= 0:
        link.told_peer = True


cdef inline bint move_to_peer(Relay* relay, Link* link) noexcept nogil:
    cdef int left = TURN_BYTES
    cdef int taken
    cdef ssize_t got
    while not link.told_peer and not link.broken:
        if link.to_peer.data != NULL:
            taken = encrypt(relay, link, link.to_peer.data + link.to_peer.start, link.to_peer.end - link.to_peer.start)
            took(&link.to_peer, taken)
            if link.to_peer.data != NULL:
                return False
        elif link.from_pump_over:
            say_goodbye(relay, link)
            return False
        elif not link.pump_readable:
            return False
        elif left <= 0:
            return True
        else:
            got = recv(link.pump_fd, relay.scratch, SCRATCH_BYTES, 0)
            if got > 0:
                left -= <int> got
                # A short read has emptied it: the next bytes come with an edge. The end may have had its edge already.
                if got < SCRATCH_BYTES and not link.pump_ending:
                    link.pump_readable = False
                taken = encrypt(relay, link, relay.scratch, <int> got)
                if taken < got and not link.broken and not keep(&link.to_peer, relay.scratch + taken, <int> got - taken):
                    drop(relay, link, True)
                    return False
            elif got < 0 and errno == EINTR:
                continue
            elif got < 0 and errno == EAGAIN:
                link.pump_readable = False
            else:
                link.from_pump_over = True
                let_leave(relay, link)
    return False


cdef inline int pass_on(Relay* relay, Link* link, const uint8_t* data, int length) noexcept nogil:
    cdef ssize_t sent = send(link.pump_fd, data, length, MSG_NOSIGNAL)
    if sent >= 0:
        return <int> sent
    if errno == EAGAIN:
        link.pump_writable = False
    elif errno != EINTR:
        link.told_pump = True  # it does not listen any more
    return 0


cdef inline bint move_to_pump(Relay* relay, Link* link) noexcept nogil:
    cdef int got, sent, error
    cdef int left = READS_AT_ONCE
    while not link.dead:
        if link.to_pump.data != NULL and not link.told_pump:
            if not link.pump_writable:
                return False
            took(&link.to_pump, pass_on(relay, link, link.to_pump.data + link.to_pump.start, link.to_pump.end - link.to_pump.start))
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
            got = SSL_read(link.ssl, relay.scratch, RECORD_BYTES)
            if got > 0:
                add(&relay.decrypted_bytes, got)
                if link.told_pump:
                    continue  # unread bytes would make a reset of our close, which takes the last words away
                sent = pass_on(relay, link, relay.scratch, got)
                if sent < got and not link.told_pump and not keep(&link.to_pump, relay.scratch + sent, got - sent):
                    drop(relay, link, True)
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
                let_leave(relay, link)
            else:
                give_up(relay, link)
    return False


cdef inline bint serve(Relay* relay, Link* link) noexcept nogil:
    """True: there is more to do at once."""
    cdef bint again = move_to_peer(relay, link)
    if move_to_pump(relay, link):
        again = True
    if link.broken and not link.told_peer:
        discard(relay, link)
    if link.told_peer and link.told_pump and link.from_peer_over:
        drop(relay, link, False)
    return again


cdef inline void relay_all(Relay* relay) noexcept nogil:
    cdef Link* link
    for _ in range(relay.work.length):  # those that want to go on are queued behind
        link = dequeue(relay, &relay.work)
        if link != NULL and serve(relay, link):
            enqueue(relay, link)
