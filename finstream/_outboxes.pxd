# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""An outbox: what one consumer still has to get.

During a batch an outbox collects *slices*, pointers into the batch's encoded messages, nothing is copied. At the end of the batch
they go out in one vectored send. What the kernel does not take is copied into a *chunk* and waits (_queues); from then on
everything queues behind it, until the socket is writable again.

Counting: a message is delivered when its last byte has been handed to the kernel, or sealed for it (TLS; see _sealing). For every
outbox, always, published = delivered + queued + skipped + conflated + killed.
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from finstream._inboxes cimport Inbox
from finstream._json cimport likely

cdef extern from "sys/uio.h" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t send(int fd, const void* data, size_t length, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    enum: MSG_NOSIGNAL, MSG_DONTWAIT

cdef extern from *:
    """
    #include <string.h>
    #include <sys/socket.h>
    static inline void fs_clear_message(struct msghdr *m) { memset(m, 0, sizeof *m); }
    """
    void clear_message "fs_clear_message"(msghdr* message) noexcept nogil

cdef enum:
    MAX_SLICES = 1024   # Linux' IOV_MAX

cdef struct Chunk:
    Chunk* next
    int64_t size
    int64_t sent
    int64_t since       # ns, monotonic: when it began to wait
    uint64_t messages   # that end in it and are not booked as delivered; control frames are not counted
    int64_t booked      # where the first message that is not booked begins
    int64_t whole       # if the chunk starts in the middle of a message: where that ends, until it is booked; else 0
    uint64_t whole_seq  # of that message
    int asset           # of its last message
    uint64_t seq
    bint tamed          # of subscriptions with a policy of their own: it does not count against the outbox's bounds
    bint sealed         # TLS records: no messages to count, and nothing may go before it
    # the bytes follow

cdef struct SliceNote:
    # Beside each slice: the messages in it, all of one asset.
    uint64_t messages
    uint64_t seq        # of the last one
    int asset
    bint tamed          # as of a chunk

cdef struct Outbox:
    int64_t handle
    void* ssl           # the session, once its handshake is over; NULL: nothing is encrypted
    int fd
    bint lines          # framing: lines instead of WebSocket frames
    bint closed         # finished by a final push, or given up: nothing more of the stream is accepted
    bint parting        # given up, but last words may still be said
    bint dead           # nothing more is sent
    bint cut            # something that waited was dropped
    bint armed          # waits until the socket is writable
    bint starved        # the kernel is out of memory: ask it again by the clock, for the socket may well be writable
    uint32_t interest   # what the pump's epoll set has it for
    int64_t max_bytes
    int64_t max_age     # ns
    int priority        # when memory is short, lower goes first
    # This batch:
    iovec* slices
    SliceNote* notes
    int slice_count
    int slice_room
    int touched         # its place in the batch's list of those with slices, from 1; 0: not in it
    # Waiting:
    Chunk* head
    Chunk* tail
    int chunks
    int64_t queued_bytes
    uint64_t queued_messages
    int64_t tamed_bytes         # of those queued
    int64_t held_bytes          # outside of the queue, by subscriptions with a policy; see _policies
    int64_t firm_bytes          # of those held, what may be neither dropped nor merged
    uint64_t held_messages
    int64_t over_since          # ns: since when it is above its bound of bytes, as far as we looked; 0: it is not
    bint gaps                   # some subscription has skipped, and not told yet
    int64_t warned              # ns: when it was warned last
    bint warned_already         # since it was empty last
    Outbox* previous_waiting
    Outbox* next_waiting
    # So far:
    uint64_t published
    uint64_t delivered
    uint64_t skipped
    uint64_t conflated
    uint64_t killed
    uint64_t sent_bytes
    int last_asset      # of the last message delivered; -1 before the first
    uint64_t last_seq
    # The other direction, where the pump reads it, too:
    int phase
    bint owned          # the pump accepted the connection, and closes it
    bint paused         # not read from until the control plane has caught up
    Inbox inbox
    int64_t heard       # ns, monotonic: when anything came last
    int64_t pinged
    int64_t deadline    # of the handshake, or of leaving
    bint end_sealed     # TLS: the peer is told that nothing follows
    # Its subscriptions, a list that the pump keeps:
    void* subscriptions
    int subscription_count
    int subscription_room


cdef inline bint is_over(const Outbox* outbox, int times) noexcept nogil:
    """Whether more waits than so many times its bound of bytes; what a policy can drop or merge is not counted."""
    return outbox.queued_bytes - outbox.tamed_bytes + outbox.firm_bytes > times * outbox.max_bytes


cdef inline bint add_slice(
    Outbox* outbox, const uint8_t* start, int64_t length, uint64_t messages, int asset, uint64_t seq, bint tamed
) noexcept nogil:
    """Take whole messages of one asset into the batch. False when there is no memory for it; then nothing is counted."""
    cdef iovec* slices
    cdef SliceNote* notes
    cdef int i = outbox.slice_count - 1, room
    if (i >= 0 and outbox.notes[i].asset == asset and outbox.notes[i].tamed == tamed
            and <const uint8_t*> outbox.slices[i].iov_base + outbox.slices[i].iov_len == start):
        outbox.slices[i].iov_len += length
        outbox.notes[i].messages += messages
        outbox.notes[i].seq = seq
        return True
    i += 1
    if i == outbox.slice_room:
        room = 2 * i + 2
        slices = <iovec*> realloc(outbox.slices, room * sizeof(iovec))
        if slices == NULL:
            return False
        outbox.slices = slices
        notes = <SliceNote*> realloc(outbox.notes, room * sizeof(SliceNote))
        if notes == NULL:
            return False
        outbox.notes = notes
        outbox.slice_room = room
    outbox.slices[i].iov_base = <void*> start
    outbox.slices[i].iov_len = length
    outbox.notes[i].messages = messages
    outbox.notes[i].asset = asset
    outbox.notes[i].seq = seq
    outbox.notes[i].tamed = tamed
    outbox.slice_count = i + 1
    return True


cdef inline bint must_wait(Outbox* outbox, int error) noexcept nogil:
    """Whether a failed send may be tried again. Linux' EWOULDBLOCK is EAGAIN."""
    outbox.starved = error == ENOBUFS or error == ENOMEM
    return outbox.starved or error == EAGAIN


cdef inline ssize_t send_slices(Outbox* outbox) noexcept nogil:
    cdef msghdr message
    cdef ssize_t n
    while True:
        if likely(outbox.slice_count == 1):
            n = send(outbox.fd, outbox.slices[0].iov_base, outbox.slices[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
        else:
            clear_message(&message)
            message.msg_iov = outbox.slices
            message.msg_iovlen = outbox.slice_count if outbox.slice_count < MAX_SLICES else MAX_SLICES
            n = sendmsg(outbox.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        if n >= 0 or errno != EINTR:
            return n


cdef inline ssize_t send_bytes(Outbox* outbox, const uint8_t* p, int64_t size) noexcept nogil:
    cdef ssize_t n
    while True:
        n = send(outbox.fd, p, size, MSG_NOSIGNAL | MSG_DONTWAIT)
        if n >= 0 or errno != EINTR:
            return n
