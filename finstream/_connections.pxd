# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Subscribers' connections that the pump accepts and reads itself: request heads, frames, pings, closes, and the words of the control
plane in between. Who may connect is decided by Python.
"""

from finstream._offering cimport *

cdef enum:
    ACCEPTS_AT_ONCE = 64
    CLIENT_READ_BYTES = 16384       # one read of a client: requests are small, and ticks are waiting; a TLS record fits
    ANSWER_IDLE_BYTES = 4096        # a new key costs about as much as so many bytes


cdef inline bint push_bytes(Pump* pump, Outbox* outbox, const uint8_t* p, int64_t size, bint final) noexcept nogil:
    cdef ssize_t n = 0
    cdef int64_t before
    if outbox == NULL or outbox.dead or (outbox.closed and not (outbox.parting and final)):
        return False
    send_batch(pump, outbox)
    if final:
        release_all(pump, outbox, NULL)
    if outbox.dead:  # given up just now
        return False
    before = outbox.queued_bytes
    if outbox.head == NULL:
        n = send_bytes(outbox, p, size) if outbox.ssl == NULL else seal_bytes(outbox, &pump.seal, p, size)
        pump.sends += 1
        if n < 0:
            if not must_wait(outbox, errno):
                give_up(pump, outbox, CONNECTION_LOST, errno)
                return False
            n = 0
        outbox.sent_bytes += n
    if n < size:
        if not queue_bytes(outbox, p + n, size - n, turn_time(pump)):
            give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
            return False
        if n:
            outbox.tail.whole = size - n  # the rest of a frame that is under way
    if outbox.queued_bytes > before:
        await_writable(pump, outbox)
        wake(pump)
        if final and outbox.phase == WRITE_ONLY and is_over(outbox, 1):
            drain(pump, outbox)
            if is_over(outbox, 1):
                give_up(pump, outbox, SLOW_CONSUMER_BYTES, 0)
                return False
        elif not final:
            note_queued(pump, outbox, outbox.queued_bytes - before, turn_time(pump))
    if final:
        outbox.closed = True
        outbox.parting = False
        drop_subscriptions(pump, outbox)
        if outbox.phase != WRITE_ONLY:
            leave_soon(pump, outbox)
    return True


cdef inline void leave_soon(Pump* pump, Outbox* outbox) noexcept nogil:
    """The last words are said: let them arrive, and wait a little for the other side to close."""
    outbox.phase = LEAVING
    outbox.deadline = now_ns(CLOCK_MONOTONIC) + pump.leaving_time
    forget(&outbox.inbox.pending)
    forget(&outbox.inbox.message)
    outbox.paused = False
    show_interest(pump, outbox)
    if outbox.head == NULL:
        on_drained(pump, outbox)


cdef inline void accept_all(Pump* pump) noexcept nogil:
    cdef char[64] name
    cdef int fd
    cdef int64_t now = now_ns(CLOCK_MONOTONIC)
    for _ in range(ACCEPTS_AT_ONCE):
        if pump.connections >= pump.most_connections:
            listen_on(pump, False)  # the backlog waits until the next sweep finds room
            return
        fd = accept_connection(pump.listener, name)
        if fd < 0:
            if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                listen_on(pump, False)  # out of descriptors, say: once a sweep is often enough to try again
            return
        if admit(pump, fd, <text> name, <int> strlen(name), now, NULL) < 0:
            close(fd)
            return


cdef inline int64_t admit(Pump* pump, int fd, text name, int length, int64_t now, void* ssl) noexcept nogil:
    """A stranger's connection is an outbox from the start; its request is awaited. ``ssl`` is a session of its own, or NULL. -1 when
    there is no memory for it."""
    cdef int64_t handle = put_outbox(pump, fd, False, pump.max_bytes, -1)
    cdef Outbox* outbox
    if handle < 0:
        return -1
    outbox = find_outbox(pump, handle)
    outbox.max_age = pump.max_age
    outbox.ssl = ssl
    outbox.owned = True
    pump.connections += 1
    pump.encrypted += ssl != NULL
    outbox.phase = GREETING
    outbox.heard = now
    outbox.deadline = now + pump.handshake_time
    # The peer's name leads what is told of the request.
    if not keep(&outbox.inbox.message, <uint8_t*> name, length):
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return handle
    show_interest(pump, outbox)
    if outbox.interest == 0:
        give_up(pump, outbox, CONNECTION_LOST, errno)
    return handle


cdef inline void listen_on(Pump* pump, bint on) noexcept nogil:
    if pump.listener >= 0 and on != pump.listening:
        pump.listening = on
        epoll_change(pump.epoll, EPOLL_CTL_ADD if on else EPOLL_CTL_DEL, pump.listener, EPOLLIN, LISTENER)


cdef inline void look_after_connections(Pump* pump, int64_t now) noexcept nogil:
    """Whoever is late or silent: strangers are dropped, clients pinged, then given up; and leaving has an end."""
    cdef Outbox* outbox
    cdef Event* event
    cdef int i
    if pump.connections < pump.most_connections:
        listen_on(pump, True)
    for i in range(pump.outbox_slots):
        outbox = pump.outboxes[i]
        if outbox == NULL or outbox.dead or outbox.phase == WRITE_ONLY:
            continue
        if outbox.phase == OPEN:
            if now - outbox.heard >= pump.silence_time:
                event = tell(&pump.events, PEER_SILENT)
                if event != NULL:
                    event.handle = outbox.handle
                    outbox.heard = now  # told once
            elif now - outbox.heard >= pump.ping_time and now - outbox.pinged >= pump.ping_time and not outbox.closed:
                outbox.pinged = now
                push_bytes(pump, outbox, <const uint8_t*> b"\x89\x00", 2, False)
        elif now >= outbox.deadline:
            give_up(pump, outbox, FINISHED if outbox.phase == LEAVING else CONNECTION_LOST, 0)


cdef inline void read_client(Pump* pump, Outbox* outbox) noexcept nogil:
    cdef Inbox* inbox = &outbox.inbox
    cdef uint8_t* start = pump.buffer
    cdef int have = inbox.pending.length
    cdef ssize_t n
    if outbox.phase == LEAVING:
        have = 0
    if have:
        memcpy(start, inbox.pending.start, have)
    if outbox.ssl == NULL or outbox.phase == LEAVING:
        n = recv(outbox.fd, start + have, CLIENT_READ_BYTES, MSG_DONTWAIT)
    else:
        n = open_some(outbox, &pump.seal, start + have, CLIENT_READ_BYTES)
        if pump.seal.length and not answer_client(pump, outbox):
            return
    if n < 0 and (errno == EAGAIN or errno == EINTR):
        return
    if n <= 0:
        give_up(pump, outbox, FINISHED if outbox.phase == LEAVING else CONNECTION_LOST, errno if n < 0 else 0)
        return
    if outbox.phase == LEAVING:
        return
    outbox.heard = now_ns(CLOCK_MONOTONIC)
    inbox.idle_bytes += n
    if outbox.phase == GREETING:
        read_head(pump, outbox, have + <int> n)
    else:
        read_frames(pump, outbox, start, have + n)


cdef inline bint answer_client(Pump* pump, Outbox* outbox) noexcept nogil:
    """What OpenSSL says to what it read: that is work, and brings a client nothing, so it counts as much idle talk. False: it has gone."""
    cdef int error = errno
    outbox.inbox.idle_bytes += ANSWER_IDLE_BYTES
    if outbox.inbox.idle_bytes > MAX_IDLE_BYTES:
        pump.seal.length = 0
        set_errno(EPROTO)
    elif answer_sealed(outbox, &pump.seal):
        if outbox.head != NULL:
            await_writable(pump, outbox)
        set_errno(error)
        return True
    give_up(pump, outbox, CONNECTION_LOST, errno)
    return False


cdef inline void read_head(Pump* pump, Outbox* outbox, int length) noexcept nogil:
    """What has come of the request head lies in the buffer."""
    cdef Inbox* inbox = &outbox.inbox
    cdef uint8_t* blank = <uint8_t*> memmem(pump.buffer, length, b"\r\n\r\n", 4)
    cdef int head = <int> (blank - pump.buffer) + 4 if blank != NULL else length
    cdef Event* event
    cdef uint8_t* told
    inbox.pending.length = 0
    if blank == NULL and length <= MAX_HEAD:
        if not keep(&inbox.pending, pump.buffer, length):
            give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    if head > MAX_HEAD:
        head = length = MAX_HEAD  # told without its end, so nobody takes it for a whole one
    outbox.phase = ASKING
    show_interest(pump, outbox)
    # What follows the head are frames already; they wait until the control plane has answered.
    if not keep(&inbox.pending, pump.buffer + head, length - head):
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    event = tell_text(&pump.events, REQUESTED, inbox.message.length + 1 + head)
    if event == NULL:
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    event.handle = outbox.handle
    told = pump.events.text + event.text
    memcpy(told, inbox.message.start, inbox.message.length)
    told[inbox.message.length] = 0x0a
    memcpy(told + inbox.message.length + 1, pump.buffer, head)
    forget(&inbox.message)


cdef inline void read_frames(Pump* pump, Outbox* outbox, uint8_t* p, int64_t length) noexcept nogil:
    """Take the frames at ``p``, which is not the inbox's own memory; keep what is left over."""
    cdef Inbox* inbox = &outbox.inbox
    cdef uint8_t* stop = p + length
    cdef Frame frame
    cdef Pings pings
    cdef int fault = NO_FAULT
    forget(&inbox.pending)
    pings.count = 0
    while outbox.phase == OPEN and not outbox.paused:
        fault = take_frame(p, stop - p, MAX_MESSAGE, inbox.kind != 0, &frame)
        if fault == NO_FAULT and frame.size == 0:
            break
        if fault == NO_FAULT:
            p += frame.size
            fault = hear(pump, outbox, &frame, &pings)
        if fault != NO_FAULT:
            tell_fault(pump, outbox, fault)
            return
        if outbox.dead:
            return
    if outbox.phase != OPEN:
        return
    if pings.count > PONGS_AT_ONCE:
        answer_ping(pump, outbox, pings.latest, pings.latest_length)
    if inbox.idle_bytes > MAX_IDLE_BYTES:
        tell_fault(pump, outbox, BROKEN_PROTOCOL)
        return
    if p < stop:
        if not keep(&inbox.pending, p, <int> (stop - p)):
            give_up(pump, outbox, CONNECTION_LOST, ENOMEM)


cdef inline void answer_ping(Pump* pump, Outbox* outbox, const uint8_t* payload, int length) noexcept nogil:
    """Where other things wait for the client it waits behind them; but it takes the place of one that waits last (RFC 6455, 5.5.3)."""
    cdef uint8_t[MAX_HEADER + MAX_CONTROL] pong
    cdef int64_t before
    if outbox.closed or outbox.dead:
        return
    if length:
        memcpy(pong + MAX_HEADER, payload, length)
    put_header(pong + MAX_HEADER, length, PONG)
    send_batch(pump, outbox)
    if outbox.dead or outbox.closed:
        return
    if outbox.head == NULL:
        push_bytes(pump, outbox, pong + MAX_HEADER - 2, length + 2, False)
        return
    before = outbox.queued_bytes
    if not queue_pong(outbox, pong + MAX_HEADER - 2, length + 2, turn_time(pump)):
        give_up(pump, outbox, CONNECTION_LOST, ENOMEM)
        return
    await_writable(pump, outbox)
    note_queued(pump, outbox, outbox.queued_bytes - before, turn_time(pump))


cdef inline int hear(Pump* pump, Outbox* outbox, Frame* frame, Pings* pings) noexcept nogil:
    """Act on one frame; returns a Fault."""
    cdef Inbox* inbox = &outbox.inbox
    cdef uint8_t[MAX_HEADER + 2] echo
    cdef bint complete
    cdef int fault, code, length
    cdef Event* event
    if frame.opcode == PONG:
        return NO_FAULT
    if frame.opcode == PING:
        inbox.idle_bytes = 0
        pings.count += 1
        pings.latest = frame.payload
        pings.latest_length = <int> frame.length
        if pings.count <= PONGS_AT_ONCE:
            answer_ping(pump, outbox, frame.payload, <int> frame.length)
        return NO_FAULT
    if frame.opcode == CLOSE:
        fault = check_close(frame, &code)
        if fault != NO_FAULT:
            return fault
        event = tell_text(&pump.events, PEER_CLOSED, frame.length - 2 if frame.length > 2 else 0)
        if event != NULL:
            event.handle = outbox.handle
            event.number = code
            if frame.length > 2:
                memcpy(pump.events.text + event.text, frame.payload + 2, frame.length - 2)
        # Echoed, as RFC 6455, 5.5.1 asks; behind what waits already.
        length = 2 if frame.length else 0
        if length:
            memcpy(echo + MAX_HEADER, frame.payload, 2)
        put_header(echo + MAX_HEADER, length, CLOSE)
        push_bytes(pump, outbox, echo + MAX_HEADER - 2, length + 2, True)
        return NO_FAULT
    fault = add_fragment(inbox, frame, &complete)
    if fault != NO_FAULT or not complete:
        return fault
    event = tell_text(&pump.events, MESSAGE, inbox.message.length)
    if event == NULL:
        return OUT_OF_MEMORY
    event.handle = outbox.handle
    event.number = inbox.kind == TEXT
    if inbox.message.length:
        memcpy(pump.events.text + event.text, inbox.message.start, inbox.message.length)
    forget(&inbox.message)
    inbox.kind = 0
    inbox.idle_bytes = 0
    inbox.unheard += 1
    pump.has_unheard = True
    if inbox.unheard >= MAX_UNHEARD or pump.events.text_length > pump.events.line_room // 2:
        outbox.paused = True
        show_interest(pump, outbox)
    return NO_FAULT


cdef inline void tell_fault(Pump* pump, Outbox* outbox, int fault) noexcept nogil:
    """The client broke the protocol: nothing more it says is understood. The control plane says goodbye."""
    cdef Event* event = tell(&pump.events, PEER_FAULT)
    if event != NULL:
        event.handle = outbox.handle
        event.reason = fault
    forget(&outbox.inbox.pending)
    forget(&outbox.inbox.message)
    if not outbox.paused:
        outbox.paused = True
        show_interest(pump, outbox)
    outbox.inbox.unheard = -1  # for good: nobody will take anything up to here


cdef inline void listen_again(Pump* pump) noexcept nogil:
    """The control plane has taken all messages: read on from those who had to wait for that."""
    cdef Outbox* outbox
    cdef int i
    pump.has_unheard = False
    for i in range(pump.outbox_slots):
        outbox = pump.outboxes[i]
        if outbox == NULL or outbox.phase != OPEN:
            continue
        if outbox.inbox.unheard > 0:
            outbox.inbox.unheard = 0
        if not outbox.paused or outbox.inbox.unheard < 0:
            continue
        outbox.paused = False
        resume(pump, outbox)


cdef inline void resume(Pump* pump, Outbox* outbox) noexcept nogil:
    """Take the frames that have come already, then read on."""
    cdef Bytes pending = outbox.inbox.pending
    outbox.inbox.pending.start = NULL
    outbox.inbox.pending.length = outbox.inbox.pending.room = 0
    read_frames(pump, outbox, pending.start, pending.length)
    free(pending.start)
    count_inbox(pump, outbox)
    if not outbox.dead:
        show_interest(pump, outbox)


cdef inline void serve_outbox(Pump* pump, int64_t handle, uint32_t events) noexcept nogil:
    cdef Outbox* outbox = find_outbox(pump, handle)
    if outbox == NULL or outbox.dead:
        return
    if outbox.interest & EPOLLIN and events & (EPOLLIN | EPOLLHUP | EPOLLERR):
        read_client(pump, outbox)
        count_inbox(pump, outbox)
        if outbox.dead:
            return
    elif events & (EPOLLHUP | EPOLLERR) and not events & EPOLLOUT:
        give_up(pump, outbox, CONNECTION_LOST, 0)
        return
    if outbox.armed and events & EPOLLOUT:
        drain(pump, outbox)
