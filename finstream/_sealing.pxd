# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""TLS between an outbox and its socket: what leaves is sealed into records, what comes is opened. The handshake was another's.

Records are numbered, so what is sealed can be neither taken back nor overtaken. Rules:
 - A message that is sealed counts as sent. So no more is sealed at once than SEAL_BYTES, and nothing while sealed bytes wait.
 - What the kernel does not take of them waits at the head of the queue, as a chunk of its own without messages. There it is as old as
   the oldest byte in it, and counts against bounds and marks like anything else.
 - All outboxes of a pump share one Seal: it is empty between two calls of the functions here.
"""

from libc.errno cimport EAGAIN, EPROTO, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from finstream._openssl cimport *
from finstream._queues cimport *
from finstream._system cimport CLOCK_MONOTONIC, now_ns

cdef extern from *:
    """
    #include <errno.h>
    static inline void fs_set_errno(int error) { errno = error; }
    struct fs_seal {
      uint8_t *bytes;        /* SEALED_ROOM */
      uint8_t *record;       /* RECORD_BYTES: what is gathered for one */
      int start, length;     /* of what is sealed and not handed on */
      int64_t content, opened;  /* bytes so far: sealed and sent, received and opened; without the records around them */
    };
    enum { RECORD_BYTES = 1 << 14,                /* the most that one TLS record holds */
           SEAL_BYTES = 1 << 16,                  /* four of them: one send for many records, and all of it still in the cache */
           SEALED_ROOM = SEAL_BYTES + (1 << 13),  /* 29 bytes around each, for clients that want records of 512 bytes */
           BIO_FLUSH = 11 };
    static int fs_take_sealed(void *bio, const char *data, int length) {
      struct fs_seal *seal = fs_BIO_get_data(bio);
      if (length > SEALED_ROOM - seal->length) return -1;
      memcpy(seal->bytes + seal->length, data, length);
      seal->length += length;
      return length;
    }
    static long fs_control_seal(void *bio, int command, long number, void *pointer) { return command == BIO_FLUSH; }
    static int fs_create_seal(void *bio) { fs_BIO_set_init(bio, 1); return 1; }
    /* Have a session whose handshake is over write into a seal from now on. 0: no memory. */
    static int fs_seal_into(void *ssl, struct fs_seal *seal) {
      static void *method;  /* of the process; under the lock of the only pump */
      void *bio;
      if (!method && (method = fs_BIO_meth_new(0x0400 | 0x7f, "FinStream")) != NULL) {  /* a source/sink */
        fs_BIO_meth_set_write(method, fs_take_sealed);
        fs_BIO_meth_set_ctrl(method, fs_control_seal);
        fs_BIO_meth_set_create(method, fs_create_seal);
      }
      if (!method || !(bio = fs_BIO_new(method))) return 0;
      fs_BIO_set_data(bio, seal);
      fs_SSL_set0_wbio(ssl, bio);
      return 1;
    }
    /* Whether the peer left without a word; WebSocket has its own last words. Only OpenSSL 3 takes it for an error. */
    static int fs_is_silent_end(void) { return (fs_ERR_peek_error() & 0x7fffff) == 294; }
    """
    ctypedef struct Seal "struct fs_seal":
        uint8_t* bytes
        uint8_t* record
        int start, length
        int64_t content, opened
    enum: RECORD_BYTES, SEAL_BYTES, SEALED_ROOM
    bint seal_into "fs_seal_into"(void* ssl, Seal* seal) noexcept nogil
    void set_errno "fs_set_errno"(int error) noexcept nogil
    bint is_silent_end "fs_is_silent_end"() noexcept nogil


cdef inline bint prepare(Seal* seal) noexcept nogil:
    """Before the first session. False when there is no memory."""
    if seal.bytes == NULL:
        seal.bytes = <uint8_t*> malloc(SEALED_ROOM)
        seal.record = <uint8_t*> malloc(RECORD_BYTES)
    return seal.bytes != NULL and seal.record != NULL


cdef inline void dispose(Seal* seal) noexcept nogil:
    free(seal.bytes)
    free(seal.record)


cdef inline int gather(Seal* seal, const iovec* parts, int count, int64_t at) noexcept nogil:
    """Copy a record's worth out of many parts, the first from ``at`` on. Returns how much that is."""
    cdef int length = 0, i
    cdef int64_t part
    for i in range(count):
        part = min(<int64_t> parts[i].iov_len - at, <int64_t> (RECORD_BYTES - length))
        memcpy(seal.record + length, <const uint8_t*> parts[i].iov_base + at, part)
        length += <int> part
        at = 0
        if length == RECORD_BYTES:
            break
    return length


cdef inline int64_t fill(Seal* seal, void* ssl, const iovec** parts, int* count, int64_t* at) noexcept nogil:
    """Seal from ``at`` in the first part on, in full records as far as there is enough, and move on. Returns how much; -1: it cannot."""
    cdef const uint8_t* p
    cdef int64_t done = 0
    cdef int length, taken
    while count[0] and done < SEAL_BYTES:
        if parts[0].iov_len - at[0] < RECORD_BYTES and count[0] > 1:
            length = gather(seal, parts[0], count[0], at[0])
            p = seal.record
        else:
            length = <int> min(<int64_t> parts[0].iov_len - at[0], <int64_t> RECORD_BYTES)
            p = <const uint8_t*> parts[0].iov_base + at[0]
        ERR_clear_error()
        taken = SSL_write(ssl, p, length) if length else 0  # less than that from a client that wants smaller records
        if taken < 0 or (taken == 0 and length):
            return -1
        done += taken
        at[0] += taken
        while count[0] and at[0] >= <int64_t> parts[0].iov_len:
            at[0] -= parts[0].iov_len
            parts[0] += 1
            count[0] -= 1
    return done


cdef inline int64_t send_sealed(Outbox* outbox, Seal* seal, const iovec* parts, int count) noexcept nogil:
    """Seal and send, until all is sent or the kernel takes no more; what it did not take is in the seal then. Returns how much has been
    sealed; -1: the connection is broken, see errno."""
    cdef int64_t done = 0, at = 0, n
    cdef ssize_t sent
    while count:
        n = fill(seal, outbox.ssl, &parts, &count, &at)
        if n < 0:
            seal.length = 0
            set_errno(EPROTO)
            return -1
        done += n
        sent = send_bytes(outbox, seal.bytes, seal.length)
        if sent < 0 and not must_wait(outbox, errno):
            seal.length = 0
            return -1
        seal.start = <int> sent if sent > 0 else 0
        if seal.start < seal.length:
            break
        seal.start = seal.length = 0
    seal.content += done
    return done


cdef inline bint keep_rest(Outbox* outbox, Seal* seal, int64_t since, bint tamed) noexcept nogil:
    """What the kernel did not take becomes the head of the queue. False: there is no memory, so the connection is broken."""
    cdef int size = seal.length - seal.start
    cdef Chunk* chunk
    if size:
        chunk = new_chunk(size, since)
        if chunk != NULL:
            memcpy(chunk_bytes(chunk), seal.bytes + seal.start, size)
            chunk.size = size
            chunk.tamed = tamed
            chunk.sealed = True
            put_first(outbox, chunk)
    seal.start = seal.length = 0
    set_errno(EPROTO)  # not ENOMEM, which would be worth another attempt
    return size == 0 or chunk != NULL


cdef inline ssize_t seal_slices(Outbox* outbox, Seal* seal) noexcept nogil:
    """The same as send_slices, where nothing is queued."""
    cdef ssize_t n = send_sealed(outbox, seal, outbox.slices, outbox.slice_count)
    cdef bint tamed = True
    cdef int i
    if seal.length == 0:
        return n
    for i in range(outbox.slice_count):
        tamed = tamed and outbox.notes[i].tamed
    return n if keep_rest(outbox, seal, now_ns(CLOCK_MONOTONIC), tamed) else -1


cdef inline ssize_t seal_bytes(Outbox* outbox, Seal* seal, const uint8_t* p, int64_t size) noexcept nogil:
    """The same as send_bytes, where nothing is queued."""
    cdef iovec part
    cdef ssize_t n
    part.iov_base = <void*> p
    part.iov_len = size
    n = send_sealed(outbox, seal, &part, 1)
    return n if seal.length == 0 or keep_rest(outbox, seal, now_ns(CLOCK_MONOTONIC), False) else -1


cdef inline bint seal_queue(Outbox* outbox, Seal* seal) noexcept nogil:
    """The same as send_queue."""
    cdef iovec[CHUNKS_AT_ONCE] parts
    cdef Chunk* chunk = outbox.head
    cdef int64_t since = chunk.since
    cdef ssize_t n
    cdef bint tamed = True
    cdef int count = 0
    if chunk.sealed:
        n = send_bytes(outbox, chunk_bytes(chunk) + chunk.sent, chunk.size - chunk.sent)
        if n < 0:
            return False
        take_first(outbox)
        chunk.sent += n
        if chunk.sent < chunk.size:
            put_first(outbox, chunk)
        else:
            free(chunk)
        return True
    while chunk != NULL and count < CHUNKS_AT_ONCE:
        parts[count].iov_base = chunk_bytes(chunk) + chunk.sent
        parts[count].iov_len = chunk.size - chunk.sent
        tamed = tamed and chunk.tamed
        count += 1
        chunk = chunk.next
    n = send_sealed(outbox, seal, parts, count)
    if n < 0:
        return False
    advance_all(outbox, n)
    return keep_rest(outbox, seal, since, tamed)


cdef inline ssize_t open_some(Outbox* outbox, Seal* seal, uint8_t* at, int room) noexcept nogil:
    """The same as recv, for at least a record's worth of room. It may have sealed an answer: answer_sealed."""
    cdef int got, error
    ERR_clear_error()
    set_errno(0)
    got = SSL_read(outbox.ssl, at, room)
    if got > 0:
        seal.opened += got
        return got
    error = SSL_get_error(outbox.ssl, got)
    if error == FS_WANT_READ:
        set_errno(EAGAIN)
        return -1
    if error == FS_ZERO_RETURN or is_silent_end() or (error == FS_SYSCALL and errno == 0):
        got = 0
    else:
        got = -1
        if error != FS_SYSCALL:
            set_errno(EPROTO)
    ERR_clear_error()  # others in this thread use OpenSSL, too
    return got


cdef inline bint answer_sealed(Outbox* outbox, Seal* seal) noexcept nogil:
    """Send what OpenSSL says by itself, before anything that is not sealed yet. False: the connection is broken, see errno."""
    cdef Chunk* before
    cdef int waiting
    cdef ssize_t n
    if outbox.head == NULL or not outbox.head.sealed:
        n = send_bytes(outbox, seal.bytes, seal.length)
        if n < 0 and not must_wait(outbox, errno):
            seal.length = 0
            return False
        seal.start = <int> n if n > 0 else 0
        return keep_rest(outbox, seal, now_ns(CLOCK_MONOTONIC), False)
    before = outbox.head
    waiting = <int> (before.size - before.sent)
    if waiting + seal.length > SEALED_ROOM:  # it asks without end, and reads nothing
        seal.length = 0
        set_errno(EPROTO)
        return False
    memmove(seal.bytes + waiting, seal.bytes, seal.length)
    memcpy(seal.bytes, chunk_bytes(before) + before.sent, waiting)
    seal.length += waiting
    take_first(outbox)
    waiting = keep_rest(outbox, seal, before.since, before.tamed)
    free(before)
    return waiting


cdef inline void seal_end(Outbox* outbox, Seal* seal) noexcept nogil:
    """Of our direction; answer_sealed sends it."""
    ERR_clear_error()
    SSL_shutdown(outbox.ssl)
    outbox.end_sealed = True
