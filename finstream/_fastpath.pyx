# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True
"""The data plane: from an ingestor's pipe to a subscriber's socket, in one thread, without the GIL.

A tick's walk, each step a function of its own:

    run → read_source → take_lines → take_line → read_line (_ticks) → observe (_arena) → publish → put_message (_frames)
        → finish_run → flush → send

One turn of ``run`` is a batch: all sources that are readable are read once, their messages are encoded one behind the other into
``out``, every outbox collects pointers into it, and at the end each outbox is sent once. Under light load a batch is one tick.

Two threads share a pump: its own, and the one that calls its methods. Rules:
 - All state is guarded by ``lock``. The pump's thread holds it during a batch, not while it waits. ``gate`` keeps it fair.
 - Nobody touches a Python object while holding the lock: an allocation may start a garbage collection, and that must not hold up a
   tick. Methods copy what they need into C memory, unlock, and only then build objects.
 - Handles are never used again. An event of epoll for a handle that is gone is ignored.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EIO, ENOMEM, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.unistd cimport close, read, write

from finstream._arena cimport *
from finstream._assets cimport *
from finstream._events cimport *
from finstream._frames cimport *
from finstream._inboxes cimport *
from finstream._json cimport *
from finstream._outboxes cimport *
from finstream._policies cimport *
from finstream._ticks cimport *

cdef extern from "<fcntl.h>" nogil:
    int fcntl(int fd, int command, ...)
    enum: F_GETFL, F_SETFL, O_NONBLOCK

cdef extern from *:
    """
    #include <pthread.h>
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <sys/socket.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/ioctl.h>
    #include <sys/timerfd.h>
    #include <time.h>
    #ifndef F_GETPIPE_SZ
    #define F_GETPIPE_SZ 1032
    #endif
    static inline int fs_load(int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
    static inline void fs_store(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
    static inline int64_t fs_now(clockid_t clock) {
      struct timespec t; clock_gettime(clock, &t); return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int fs_epoll(int set, int operation, int fd, uint32_t events, uint64_t data) {
      struct epoll_event e; e.events = events; e.data.u64 = data; return epoll_ctl(set, operation, fd, &e);
    }
    /* Accept one connection, ready for use; its peer's name goes to name (64 bytes). */
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
    static inline int fs_is_socket(int fd) {
      int type; socklen_t size = sizeof type; return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    }
    /* Let a timer ring every so many ms from now on; 0: never. */
    static inline int fs_ring_every(int timer, int ms) {
      struct itimerspec t = {{ms / 1000, ms % 1000 * 1000000L}, {ms / 1000, ms % 1000 * 1000000L}};
      return timerfd_settime(timer, 0, &t, NULL);
    }
    static inline int fs_waiting_bytes(int fd) { int n = 0; return ioctl(fd, FIONREAD, &n) == 0 ? n : 0; }
    """
    ctypedef struct pthread_mutex_t:
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
    int ring_every "fs_ring_every"(int timer, int ms) noexcept nogil
    int EPOLLIN, EPOLLOUT, EPOLLET, EPOLLERR, EPOLLHUP, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CLOEXEC, EFD_CLOEXEC, EFD_NONBLOCK, TFD_CLOEXEC, TFD_NONBLOCK
    int CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, F_GETPIPE_SZ
    int load "fs_load"(int* flag) noexcept nogil
    void store "fs_store"(int* flag, int value) noexcept nogil
    int64_t now_ns "fs_now"(int clock) noexcept nogil
    int epoll_change "fs_epoll"(int set, int operation, int fd, uint32_t events, uint64_t data) noexcept nogil
    int accept_connection "fs_accept"(int listener, char* name) noexcept nogil
    int EPOLL_CTL_MOD, SHUT_WR
    int shutdown(int fd, int how) noexcept nogil
    ssize_t recv(int fd, void* data, size_t length, int flags) noexcept nogil
    void reset_on_close "fs_reset_on_close"(int fd) noexcept nogil
    bint is_socket "fs_is_socket"(int fd) noexcept nogil
    int waiting_bytes "fs_waiting_bytes"(int fd) noexcept nogil

REJECTIONS = (
    "line_too_long", "unterminated_line", "not_json", "invalid_utf8", "invalid_escape", "control_character", "too_deep",
    "duplicate_member", "reserved_member", "invalid_type", "missing_symbol", "invalid_symbol", "missing_price", "invalid_decimal",
    "decimal_out_of_range", "price_not_positive", "negative_value", "missing_timestamp", "invalid_timestamp",
    "timestamp_in_future", "timestamp_too_old", "invalid_side", "invalid_identity", "invalid_exchange",
)
assert len(REJECTIONS) == REASONS
MAX_LINE_BYTES = MAX_LINE

cdef enum:
    READ_BYTES = 1 << 17            # one read of a source
    OUT_BYTES = 1 << 19             # of encoded messages, then the batch is sent early
    EVENTS_AT_ONCE = 256            # of epoll
    SAMPLE_BYTES = 1024             # kept of a line that is too long
    CHUNKS_AT_ONCE = 64             # sent in one system call
    SYMBOLS_AT_ONCE = 512           # copied for a snapshot while the pump waits
    ASSETS_AT_ONCE = 512
    OUTBOXES_AT_ONCE = 256          # looked at for a broadcast while the pump waits
    BLOCK = 4096                    # what stdio buffers are multiples of
    BLOCK_READS = 8                 # so many in a row, cut in mid-line, are no accident
    BLOCK_PERIOD = 100000000        # ns; faster than that, buffering costs no latency worth a word
    WAITING_PERIOD = 20             # ms, between looks at the age of what waits
    LONGEST_PARDON = 2000000000     # ns
    SWEEP_PERIOD = 250              # ms, between looks at who is silent or late
    ACCEPTS_AT_ONCE = 64
    CLIENT_READ_BYTES = 16384       # one read of a client: requests are small, and ticks are waiting
    LISTENER = 2                    # handles; real ones are larger
    TIMER = 4
    RATE_PERIOD = 5                 # ms, between looks at messages that wait for their interval
    HARD_BOUND = 4                  # times an outbox's bound of bytes: then it is given up however young what waits is
    YOUTH = 10000000                # ns: nobody is slow for not having read what was written just now
    WARNING_PERIOD = 1000000000     # ns, between warnings of one outbox
    OUTBOX_BIT = 1
    SLOT_BITS = 24

_CLOSE_REASONS = ("slow_consumer_bytes", "slow_consumer_age", "connection_lost", "finished", "memory_pressure")
_MEMORY_LEVELS = ("normal", "soft", "hard")
_FAULTS = {BROKEN_PROTOCOL: "broken_protocol", NOT_UTF8: "not_utf8", TOO_BIG: "too_big", OUT_OF_MEMORY: "out_of_memory"}

cdef struct Source:
    int64_t handle
    int fd
    uint32_t interest               # what the epoll set has it for
    Asset* asset
    uint8_t* rest                   # an unterminated line
    int rest_length
    int rest_room
    bint skipping                   # the rest of a line that is too long
    bint ended
    int64_t full_limit              # ns; negative: none
    int64_t full_since              # 0: it is not full
    int capacity                    # of the pipe
    int block_reads
    int64_t block_since
    bint told_full
    bint told_block


cdef inline int64_t to_ns(int64_t ms) noexcept nogil:
    """A bound in ms as one in ns; negative is none, and so is what lies beyond three centuries."""
    cdef int64_t unbounded = <int64_t> 9000000000 * 1000
    return ms * 1000000 if 0 <= ms <= unbounded else -1


@cython.final
cdef class NativePump:
    """See finstream/pump.py, which documents what each method promises."""

    cdef pthread_mutex_t lock
    cdef pthread_mutex_t gate
    cdef int asking                 # whether somebody waits at the gate, or is about to
    cdef int epoll
    cdef int wake_fd
    cdef int timer_fd               # one timer for all that is done by the clock: arming one at each wait costs every tick a little
    cdef int period                 # of the timer, in ms; 0: it is off
    cdef readonly int event_fd
    cdef int stopping
    cdef bint simulated
    cdef bint encode_always
    cdef int max_line

    cdef Parser parser
    cdef Line line
    cdef uint8_t* buffer            # where sources are read into
    cdef uint8_t* out               # this batch's messages as WebSocket frames
    cdef uint8_t* out_lines         # and as lines; only filled where somebody wants lines
    cdef int64_t out_length
    cdef int64_t out_lines_length

    cdef Asset** assets
    cdef int asset_count
    cdef int asset_room
    cdef Source** sources           # by slot; NULL: free
    cdef int source_slots
    cdef int source_count
    cdef Outbox** outboxes          # by slot; NULL: free
    cdef int outbox_slots
    cdef int outbox_count
    cdef int next_slot              # where to look for a free one
    cdef Outbox** touched           # with slices in this batch; room for every slot
    cdef int touched_count
    cdef Outbox* waiting            # with something queued
    cdef int64_t serial

    # Subscribers' connections that the pump accepts itself:
    cdef int listener               # -1: none
    cdef bint listening             # in the epoll set
    cdef int connections
    cdef int most_connections
    cdef bint has_unheard           # messages that the control plane has not taken
    cdef int64_t handshake_time     # these are ns
    cdef int64_t ping_time
    cdef int64_t silence_time
    cdef int64_t leaving_time
    cdef int64_t max_bytes
    cdef int64_t max_age
    cdef int64_t next_sweep
    cdef int64_t last_look          # at the age of what waits; 0: nothing waited
    cdef int64_t pardon             # until then nobody is given up for age
    cdef Rules* rated               # subscriptions with an interval
    cdef int cooling                # slots of theirs that are not due yet
    cdef bint has_excess            # some outbox went over its bound in this turn
    cdef int64_t turn               # ns, monotonic: this turn's time, once somebody asked for it

    cdef int64_t soft_mark          # of what all outboxes hold together; 0: none
    cdef int64_t hard_mark
    cdef int64_t memory_held        # as of the last count,
    cdef int64_t memory_since       # and what was queued since
    cdef int memory_level
    cdef int64_t memory_told        # ns, monotonic
    cdef Events events
    cdef Events taken

    cdef uint64_t batches
    cdef uint64_t lines
    cdef uint64_t sends
    cdef uint64_t partial_sends
    cdef uint64_t delivered_before  # by outboxes that are gone

    # --- birth and death ------------------------------------------------------------------------------------------------

    def __cinit__(self, new_york, *, bint simulated=False, int line_bytes=MAX_LINE, int64_t event_bytes=4 << 20):
        self.epoll = self.wake_fd = self.timer_fd = self.event_fd = self.listener = -1
        if not 1 <= line_bytes <= MAX_LINE:
            raise ValueError(f"line_bytes must be 1 to {MAX_LINE}, not {line_bytes}")
        pthread_mutex_init(&self.lock, NULL)
        pthread_mutex_init(&self.gate, NULL)
        self.simulated = simulated
        self.max_line = line_bytes
        self.events.text_room = self.taken.text_room = event_bytes
        self.events.line_room = self.taken.line_room = event_bytes
        self.parser.members = <Member*> malloc(MAX_MEMBERS * sizeof(Member))
        self.parser.names = <uint64_t*> calloc(NAME_SLOTS, sizeof(uint64_t))
        self.parser.scratch = <uint8_t*> calloc(2 * MAX_LINE + PADDING, 1)
        self.parser.seed = <uint32_t> now_ns(CLOCK_MONOTONIC)
        self.parser.zone.count = len(new_york)
        self.parser.zone.starts = <int64_t*> malloc((len(new_york) + 1) * sizeof(int64_t))
        self.parser.zone.offsets = <int64_t*> malloc((len(new_york) + 1) * sizeof(int64_t))
        self.buffer = <uint8_t*> calloc(MAX_LINE + READ_BYTES + PADDING, 1)
        self.out = <uint8_t*> malloc(OUT_BYTES)
        self.out_lines = <uint8_t*> malloc(OUT_BYTES)
        self.events.text = <uint8_t*> malloc(event_bytes)
        self.taken.text = <uint8_t*> malloc(event_bytes)
        if (self.parser.members == NULL or self.parser.names == NULL or self.parser.scratch == NULL
                or self.parser.zone.starts == NULL or self.parser.zone.offsets == NULL or self.buffer == NULL or self.out == NULL
                or self.out_lines == NULL or self.events.text == NULL or self.taken.text == NULL):
            raise MemoryError
        for i, (start, offset) in enumerate(new_york):
            self.parser.zone.starts[i] = start
            self.parser.zone.offsets[i] = offset
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.event_fd = self.events.fd = self.taken.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if self.epoll < 0 or self.wake_fd < 0 or self.event_fd < 0 or self.timer_fd < 0:
            raise OSError(errno, "the pump needs four more file descriptors")
        epoll_change(self.epoll, EPOLL_CTL_ADD, self.wake_fd, EPOLLIN, 0)
        epoll_change(self.epoll, EPOLL_CTL_ADD, self.timer_fd, EPOLLIN, TIMER)

    def __dealloc__(self):
        cdef int i, j
        cdef Asset* asset
        for i in range(self.outbox_slots):
            if self.outboxes[i] != NULL:
                self.free_outbox(self.outboxes[i])
        for i in range(self.source_slots):
            if self.sources[i] != NULL:
                free(self.sources[i].rest)
                free(self.sources[i])
        for i in range(self.asset_count):
            asset = self.assets[i]
            for j in range(asset.symbol_count):
                free(asset.symbols[j].outboxes)
                free(asset.symbols[j].tamed)
                free(asset.symbols[j])
            free(asset.symbols)
            free(asset.buckets)
            free(asset.outboxes)
            free(asset.tamed)
            free(asset)
        for fd in (self.epoll, self.wake_fd, self.timer_fd, self.event_fd):
            if fd >= 0:
                close(fd)
        free(self.assets)
        free(self.sources)
        free(self.outboxes)
        free(self.touched)
        free(self.events.items)
        free(self.events.text)
        free(self.taken.items)
        free(self.taken.text)
        free(self.buffer)
        free(self.out)
        free(self.out_lines)
        free(self.parser.members)
        free(self.parser.names)
        free(self.parser.scratch)
        free(self.parser.zone.starts)
        free(self.parser.zone.offsets)
        pthread_mutex_destroy(&self.lock)
        pthread_mutex_destroy(&self.gate)

    cdef void acquire(self) noexcept nogil:
        # A Python thread that waits for the lock holds the gate meanwhile, so the pump cannot take the lock again before it. It
        # waits with the GIL held: giving it up here would let another Python thread run while the pump waits for us.
        pthread_mutex_lock(&self.gate)
        store(&self.asking, 1)
        pthread_mutex_lock(&self.lock)
        store(&self.asking, 0)
        pthread_mutex_unlock(&self.gate)

    cdef void acquire_for_pump(self) noexcept nogil:
        if unlikely(load(&self.asking)):
            pthread_mutex_lock(&self.gate)
            pthread_mutex_unlock(&self.gate)
        pthread_mutex_lock(&self.lock)

    cdef void release(self) noexcept nogil:
        pthread_mutex_unlock(&self.lock)

    # --- the pump's thread ----------------------------------------------------------------------------------------------

    def run(self):
        """Pump until :meth:`stop`. The GIL is not held."""
        with nogil:
            self.turn_until_stopped()

    cdef void turn_until_stopped(self) noexcept nogil:
        cdef epoll_event[EVENTS_AT_ONCE] ready
        cdef int i, count
        cdef uint64_t handle, rings
        cdef bint rang
        while not self.stopping:
            self.set_timer(False)
            count = epoll_wait(self.epoll, ready, EVENTS_AT_ONCE, -1)
            if count < 0 and errno != EINTR:
                return  # whoever started us learns that the pump has ended by itself
            rang = False
            self.acquire_for_pump()
            self.turn = 0
            if count > 0:
                self.batches += 1
            for i in range(count):
                handle = ready[i].data.u64
                if handle == 0:
                    read(self.wake_fd, &rings, 8)
                elif handle == TIMER:
                    rang = read(self.timer_fd, &rings, 8) == 8
                elif handle & OUTBOX_BIT:
                    self.serve_outbox(handle, ready[i].events)
                elif handle == LISTENER:
                    self.accept_all()
                else:
                    self.read_source(handle, ready[i].events)
            self.flush()
            if unlikely(self.has_excess):
                self.end_excess()
            if rang:
                if self.cooling:
                    self.send_due()
                self.look_at_clock()
                self.set_timer(True)
            elif unlikely(self.waiting != NULL and self.last_look == 0):
                self.last_look = now_ns(CLOCK_MONOTONIC)
            self.release()

    cdef void set_timer(self, bint rang) noexcept nogil:
        """Have the timer ring as often as is needed now. Less often than before only after it rang: consumers come and go."""
        cdef int period = 0
        if self.cooling:
            period = RATE_PERIOD
        elif self.waiting != NULL:
            period = WAITING_PERIOD
        elif self.connections or self.memory_level or (self.listener >= 0 and not self.listening):
            period = SWEEP_PERIOD
        if period != self.period and (rang or (period and (self.period == 0 or period < self.period))):
            if ring_every(self.timer_fd, period) == 0:
                self.period = period

    cdef void look_at_clock(self) noexcept nogil:
        cdef int64_t now
        cdef Outbox* outbox = self.waiting
        cdef Outbox* next
        cdef Chunk* oldest
        if outbox == NULL:
            self.last_look = 0
            if self.listener < 0 and self.connections == 0 and self.memory_level == 0:
                return
        now = now_ns(CLOCK_MONOTONIC)
        if now >= self.next_sweep and (self.listener >= 0 or self.connections):
            self.next_sweep = now + (SWEEP_PERIOD - WAITING_PERIOD) * 1000000  # the timer does not ring to the nanosecond
            self.look_after_connections(now)
            outbox = self.waiting
        if outbox != NULL and self.last_look and now - self.last_look > 10 * WAITING_PERIOD * 1000000:
            # It is we who were away, not the consumers (the process was stopped, the machine frozen): give them that time back.
            self.pardon = now + min(now - self.last_look, LONGEST_PARDON)
        while outbox != NULL:
            next = outbox.next_waiting
            if outbox.starved:
                self.drain(outbox)
            elif not outbox.closed or outbox.phase == WRITE_ONLY:
                self.look_at_age(outbox, now)
            outbox = next
        if self.soft_mark and (self.waiting != NULL or self.memory_level):
            self.guard_memory(now)
        self.last_look = now if self.waiting != NULL else 0

    cdef void look_at_age(self, Outbox* outbox, int64_t now) noexcept nogil:
        """Whether what waits in an outbox is too old or too much; who had no time to read, because we had none, is pardoned."""
        cdef int64_t since = self.oldest_firm_of(outbox)
        if now < self.pardon:
            return
        if is_over(outbox, 1) and self.bound_bytes(outbox, now):
            return
        if outbox.dead or outbox.max_age < 0:
            return
        if outbox.subscription_count and outbox.held_messages:
            self.skip_old(outbox, now)
        if since and now - since > outbox.max_age:
            self.drain(outbox)
            if not outbox.dead and self.oldest_firm_of(outbox) == since:
                self.give_up(outbox, SLOW_CONSUMER_AGE, 0)
        elif since and now - since > outbox.max_age // 2:
            self.warn(outbox, now)

    cdef int64_t oldest_firm_of(self, Outbox* outbox) noexcept nogil:
        """Since when the oldest message waits that may be neither dropped nor merged; 0: there is none."""
        cdef Subscription* list = <Subscription*> outbox.subscriptions
        cdef Chunk* chunk = outbox.head
        cdef int64_t since = 0, other
        cdef int i
        while chunk != NULL and chunk.tamed:
            chunk = chunk.next
        if chunk != NULL:
            since = chunk.since
        if outbox.firm_bytes:
            for i in range(outbox.subscription_count):
                if list[i].rules != NULL:
                    other = oldest_firm(<Rules*> list[i].rules)
                    if other and (since == 0 or other < since):
                        since = other
        return since

    # --- sources --------------------------------------------------------------------------------------------------------

    cdef Source* find_source(self, int64_t handle) noexcept nogil:
        cdef int slot = <int> (handle >> 1 & ((1 << SLOT_BITS) - 1))
        if slot >= self.source_slots or self.sources[slot] == NULL or self.sources[slot].handle != handle:
            return NULL
        return self.sources[slot]

    cdef void read_source(self, int64_t handle, uint32_t events) noexcept nogil:
        """Read once; what is still in the pipe comes with the next batch, so that no source keeps the others waiting.

        A pipe is told of once each time more comes (edge-triggered): asking again whether it is empty after every tick would be
        the dearest thing done for a tick but for the read and the send. It says all it has in one read; where that filled our
        buffer, or its writer has closed it, it is asked again.
        """
        cdef Source* source = self.find_source(handle)
        cdef ssize_t n
        cdef int error
        cdef int64_t received
        cdef uint8_t* start
        if source == NULL or source.ended:
            return
        if source.rest_length:
            memcpy(self.buffer, source.rest, source.rest_length)
        start = self.buffer + source.rest_length
        n = read(source.fd, start, READ_BYTES)
        error = errno if n < 0 else 0
        if error == EAGAIN:
            return
        if unlikely(source.interest & EPOLLET and (n < 0 or n == READ_BYTES or events & (EPOLLHUP | EPOLLERR))):
            epoll_change(self.epoll, EPOLL_CTL_MOD, source.fd, source.interest, source.handle)
        if error == EINTR:
            return
        received = now_ns(CLOCK_REALTIME)
        if n <= 0:
            # A pty whose other side is gone says EIO.
            self.end_source(source, error if error != EIO else 0, received)
            return
        source.asset.reads += 1
        source.asset.bytes += n
        if unlikely(n % BLOCK == 0 or source.block_reads):
            self.notice_blocks(source, n, start[n - 1] != 0x0a)
        if unlikely(n >= source.capacity // 2 or n == READ_BYTES):
            self.notice_pressure(source, n)
        else:
            source.full_since = 0
        self.take_lines(source, start + n, received)

    cdef void take_lines(self, Source* source, uint8_t* end, int64_t received) noexcept nogil:
        cdef uint8_t* p = self.buffer
        cdef uint8_t* line_feed
        cdef Asset* asset = source.asset
        cdef int left
        cdef void* grown
        asset.run_start = self.out_length
        asset.run_start_lines = self.out_lines_length
        asset.run_messages = 0
        if source.skipping:
            line_feed = <uint8_t*> memchr(p, 0x0a, end - p)
            if line_feed == NULL:
                return
            source.skipping = False
            p = line_feed + 1
        while p < end:
            line_feed = <uint8_t*> memchr(p, 0x0a, end - p)
            if line_feed == NULL:
                break
            if unlikely(line_feed - p > self.max_line):
                self.refuse(asset, LINE_TOO_LONG, p, line_feed - p, received)
            else:
                self.take_line(asset, p, line_feed, received)
            p = line_feed + 1
        self.finish_run(asset)
        left = <int> (end - p)
        source.rest_length = 0
        if left > self.max_line:
            self.refuse(asset, LINE_TOO_LONG, p, left, received)
            source.skipping = True
            return
        if left:
            if left > source.rest_room:
                grown = realloc(source.rest, left * 2)
                if grown == NULL:
                    self.refuse(asset, LINE_TOO_LONG, p, left, received)
                    source.skipping = True
                    return
                source.rest = <uint8_t*> grown
                source.rest_room = left * 2
            memcpy(source.rest, p, left)
            source.rest_length = left

    cdef void take_line(self, Asset* asset, uint8_t* p, uint8_t* end, int64_t received) noexcept nogil:
        cdef int kind = read_line(&self.parser, &self.line, p, end, received, asset.future, asset.max_age)
        cdef Symbol* symbol
        cdef int64_t lag
        if kind == IGNORED:
            return
        self.lines += 1
        asset.lines += 1
        asset.last = received
        if likely(kind == TICK):
            asset.ticks += 1
            lag = received - self.line.time
            observe(&asset.racer, lag, received)
            symbol = find_symbol(asset, self.line.symbol.start, self.line.symbol.length, MAX_SYMBOLS)
            if likely(symbol != NULL):
                symbol.smoothed = symbol.smoothed + ((lag - symbol.smoothed) >> SMOOTHING) if symbol.ticks else lag
                symbol.ticks += 1
                symbol.lag = lag
                symbol.last = received
            self.publish(asset, symbol, end - p, received)
        elif kind == REJECTED:
            self.refuse(asset, self.line.reason, p, end - p, received)
        elif kind == OPAQUE:
            asset.opaque += 1
            symbol = NULL
            if self.line.present & (1 << SYMBOL):
                symbol = find_symbol(asset, self.line.symbol.start, self.line.symbol.length, 0)
            self.publish(asset, symbol, end - p, received)
        elif kind == STATUS:
            asset.statuses += 1
            if not (take_token(&asset.status_lines, received, STATUS_BURST, STATUSES_PER_SECOND)
                    and tell_line(&self.events, STATUS_LINE, asset.id, 0, p, end - p, end - p, received)):
                asset.untold += 1
        else:
            asset.heartbeats += 1

    cdef void end_source(self, Source* source, int error, int64_t received) noexcept nogil:
        cdef Event* event
        source.ended = True
        epoll_change(self.epoll, EPOLL_CTL_DEL, source.fd, 0, 0)
        if source.rest_length:
            self.refuse(source.asset, UNTERMINATED_LINE, source.rest, source.rest_length, received)
            source.rest_length = 0
        event = tell(&self.events, SOURCE_ENDED)
        if event != NULL:
            event.handle = source.handle
            event.asset = source.asset.id
            event.error = error

    cdef void notice_blocks(self, Source* source, ssize_t n, bint cut) noexcept nogil:
        """A program with a buffered stdout writes when its buffer is full, wherever the line then is."""
        cdef int64_t now
        cdef Event* event
        if n % BLOCK or n == READ_BYTES or not cut:
            source.block_reads = 0
            return
        now = now_ns(CLOCK_MONOTONIC)
        if source.block_reads == 0:
            source.block_since = now
        source.block_reads += 1
        if source.block_reads > BLOCK_READS and now - source.block_since > BLOCK_PERIOD and not source.told_block:
            source.told_block = True
            event = tell(&self.events, BLOCK_BUFFERED)
            if event != NULL:
                event.handle = source.handle
                event.asset = source.asset.id
                event.number = n

    cdef void notice_pressure(self, Source* source, ssize_t n) noexcept nogil:
        """What we took and what is there again already: if that fills the pipe, its writer waits for us.

        A pipe is full when its pages are; short writes fill them badly, but always by more than half.
        """
        cdef int64_t now
        cdef Event* event
        if n + waiting_bytes(source.fd) < source.capacity // 2:
            source.full_since = 0
            return
        now = now_ns(CLOCK_MONOTONIC)
        if source.full_since == 0:
            source.full_since = now
        elif source.full_limit >= 0 and now - source.full_since > source.full_limit and not source.told_full:
            source.told_full = True
            event = tell(&self.events, SOURCE_OVERFLOWED)
            if event != NULL:
                event.handle = source.handle
                event.asset = source.asset.id

    # --- out ------------------------------------------------------------------------------------------------------------

    cdef void publish(self, Asset* asset, Symbol* symbol, int64_t line_length, int64_t received) noexcept nogil:
        """Encode the message once, and give it to who takes this symbol. Who takes the whole asset gets it with the run."""
        cdef uint8_t* payload
        cdef uint8_t* frame
        cdef int64_t length, frame_length, at_lines = 0
        cdef Outbox* outbox
        cdef int i
        if (asset.outbox_count + asset.tamed_count == 0 and (symbol == NULL or symbol.outbox_count + symbol.tamed_count == 0)
                and not self.encode_always):
            asset.seq += 1
            return
        if unlikely(self.out_length + line_length + MESSAGE_OVERHEAD > OUT_BYTES
                    or self.out_lines_length + line_length + MESSAGE_OVERHEAD > OUT_BYTES):
            self.finish_run(asset)
            self.flush()
            asset.run_start = asset.run_start_lines = 0
        asset.seq += 1  # not before the run up to here was given away
        frame = self.out + self.out_length
        payload = frame + 4  # the header of nearly every message
        length = put_message(payload, &self.line, self.parser.members, &asset.label, asset.seq, received) - payload
        if unlikely(length < 126 or length > 65535):
            memmove(frame + (2 if length < 126 else 10), payload, length)
            payload = frame + (2 if length < 126 else 10)
        frame_length = put_header(payload, length, 1) + length
        self.out_length += frame_length
        if unlikely(asset.line_outboxes):
            at_lines = self.out_lines_length
            memcpy(self.out_lines + at_lines, payload, length)
            self.out_lines[at_lines + length] = 0x0a
            self.out_lines_length += length + 1
        asset.run_messages += 1
        if symbol != NULL and symbol.outbox_count:
            for i in range(symbol.outbox_count - 1, -1, -1):
                outbox = symbol.outboxes[i]
                if outbox.lines:
                    self.give(outbox, self.out_lines + at_lines, length + 1, 1, asset, False)
                else:
                    self.give(outbox, frame, frame_length, 1, asset, False)
        if unlikely(asset.tamed_count):
            for i in range(asset.tamed_count - 1, -1, -1):
                self.offer(<Rules*> asset.tamed[i], symbol, frame, frame_length, self.out_lines + at_lines, length + 1)
        if unlikely(symbol != NULL and symbol.tamed_count):
            for i in range(symbol.tamed_count - 1, -1, -1):
                self.offer(<Rules*> symbol.tamed[i], symbol, frame, frame_length, self.out_lines + at_lines, length + 1)

    cdef void finish_run(self, Asset* asset) noexcept nogil:
        """Give the messages since ``run_start`` to everybody who takes the whole asset."""
        cdef int i
        cdef Outbox* outbox
        if asset.run_messages == 0:
            return
        for i in range(asset.outbox_count - 1, -1, -1):
            outbox = asset.outboxes[i]
            if outbox.lines:
                self.give(outbox, self.out_lines + asset.run_start_lines, self.out_lines_length - asset.run_start_lines,
                          asset.run_messages, asset, False)
            else:
                self.give(outbox, self.out + asset.run_start, self.out_length - asset.run_start, asset.run_messages, asset, False)
        asset.run_messages = 0
        asset.run_start = self.out_length
        asset.run_start_lines = self.out_lines_length

    cdef void give(
        self, Outbox* outbox, const uint8_t* start, int64_t length, uint64_t messages, Asset* asset, bint tamed
    ) noexcept nogil:
        if unlikely(not add_slice(outbox, start, length, messages, asset.id, asset.seq, tamed)):
            self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return
        outbox.published += messages
        if not outbox.touched:
            outbox.touched = True
            self.touched[self.touched_count] = outbox
            self.touched_count += 1

    cdef void flush(self) noexcept nogil:
        """Send what the outboxes collected; afterwards ``out`` may be written anew."""
        cdef Outbox* outbox
        cdef int64_t now = 0, before
        cdef ssize_t n
        cdef int i
        for i in range(self.touched_count):
            outbox = self.touched[i]
            outbox.touched = False
            if unlikely(outbox.dead):
                outbox.slice_count = 0
                continue
            n = 0
            if likely(outbox.head == NULL):
                n = send_slices(outbox)
                self.sends += 1
                if unlikely(n < 0):
                    if not must_wait(outbox, errno):
                        self.give_up(outbox, CONNECTION_LOST, errno)
                        continue
                    n = 0
                outbox.sent_bytes += n
                if likely(outbox.slice_count == 1 and <size_t> n == outbox.slices[0].iov_len):
                    outbox.delivered += outbox.notes[0].messages
                    outbox.last_asset = outbox.notes[0].asset
                    outbox.last_seq = outbox.notes[0].seq
                    outbox.slice_count = 0
                    continue
            if now == 0:
                now = now_ns(CLOCK_MONOTONIC)
            before = outbox.queued_bytes
            if unlikely(not queue_slices(outbox, n, now)):
                self.give_up(outbox, CONNECTION_LOST, ENOMEM)
                continue
            outbox.slice_count = 0
            if outbox.head == NULL:
                continue
            self.partial_sends += 1
            self.await_writable(outbox)
            self.note_queued(outbox, outbox.queued_bytes - before, now)
        self.touched_count = 0
        self.out_length = self.out_lines_length = 0

    # --- bounds and policies ----------------------------------------------------------------------------------------------

    cdef int64_t now(self) noexcept nogil:
        if self.turn == 0:
            self.turn = now_ns(CLOCK_MONOTONIC)
        return self.turn

    cdef void note_queued(self, Outbox* outbox, int64_t grown, int64_t now) noexcept nogil:
        """More waits than before; whether it is too much is decided at the end of the turn."""
        self.memory_since += grown
        if is_over(outbox, 1):
            self.has_excess = True
        if 2 * (outbox.queued_bytes - outbox.tamed_bytes + outbox.firm_bytes) > outbox.max_bytes:
            self.warn(outbox, now)
        if unlikely(self.soft_mark and self.memory_held + self.memory_since > self.soft_mark):
            self.has_excess = True

    cdef void end_excess(self) noexcept nogil:
        cdef Outbox* outbox = self.waiting
        cdef Outbox* next
        self.has_excess = False
        while outbox != NULL:
            next = outbox.next_waiting
            if is_over(outbox, 1):
                self.bound_bytes(outbox, self.now())
            outbox = next
        if self.soft_mark and self.memory_held + self.memory_since > self.soft_mark:
            self.guard_memory(self.now())

    cdef bint bound_bytes(self, Outbox* outbox, int64_t now) noexcept nogil:
        """Give an outbox up if too much waits in it. Much can be written in one batch: one last attempt, and a moment's time."""
        if outbox.closed and outbox.phase != WRITE_ONLY:
            return False
        if now - outbox.head.since < YOUTH and not is_over(outbox, HARD_BOUND):
            return False
        self.drain(outbox)
        if outbox.dead or outbox.parting or not is_over(outbox, 1):
            return False
        self.give_up(outbox, SLOW_CONSUMER_BYTES, 0)
        return True

    cdef void warn(self, Outbox* outbox, int64_t now) noexcept nogil:
        """Tell, in time, that an outbox is half full."""
        cdef Event* event
        if outbox.warned_already or outbox.closed or (outbox.warned and now - outbox.warned < WARNING_PERIOD):
            return
        event = tell(&self.events, HALF_FULL)
        if event != NULL:
            outbox.warned_already = True
            outbox.warned = now
            event.handle = outbox.handle
            event.number = self.oldest(outbox)
            event.time = outbox.queued_bytes + outbox.held_bytes

    cdef void offer(
        self, Rules* rules, Symbol* symbol, const uint8_t* frame, int64_t frame_length, const uint8_t* line, int64_t line_length
    ) noexcept nogil:
        """A message for a subscription with a policy: give it, hold it, or let it wait for its interval."""
        cdef Outbox* outbox = rules.outbox
        cdef const uint8_t* start = line if outbox.lines else frame
        cdef int64_t length = line_length if outbox.lines else frame_length
        cdef bint may_merge = (
            symbol != NULL and self.line.kind == TICK
            and rules.policy == CONFLATE and (rules.merge_trades or not self.line.present & (1 << PRICE)))
        cdef Slot* slot = NULL
        cdef Held* held
        if rules.interval and symbol != NULL and self.line.kind == TICK:
            slot = find_slot(rules, symbol)
            self.take_due(rules, self.now())
            if slot != NULL and self.now() < slot.due:
                outbox.published += 1
                held = new_held(start, length, rules.asset.seq, self.now())
                if held == NULL:
                    outbox.killed += 1
                    self.give_up(outbox, CONNECTION_LOST, ENOMEM)
                    return
                if slot.pending != NULL:
                    held.merged = slot.pending.merged + 1
                    held.since = slot.pending.since
                    outbox.conflated += 1
                    free(slot.pending)
                else:
                    rules.pending += 1
                    outbox.pending_messages += 1
                slot.pending = held
                return
            if slot != NULL:
                slot.due = self.now() + rules.interval
                cool(rules, slot)
                self.cooling += 1
        if likely(rules.first == NULL and (outbox.head == NULL or rules.policy == KILL)):
            self.give(outbox, start, length, 1, rules.asset, rules.policy != KILL)
            return
        outbox.published += 1
        if may_merge and slot == NULL:
            slot = find_slot(rules, symbol)
        held = new_held(start, length, rules.asset.seq, self.now())
        if held == NULL:
            outbox.killed += 1
            self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return
        self.hold_one(rules, slot if may_merge else NULL, held)

    cdef void hold_one(self, Rules* rules, Slot* slot, Held* held) noexcept nogil:
        if rules.policy == SKIP and rules.bytes + held.length > rules.outbox.max_bytes:
            skip_held(rules)
        hold(rules, slot, held)
        self.note_queued(rules.outbox, held.length, self.now())

    cdef void take_due(self, Rules* rules, int64_t now) noexcept nogil:
        """What waited for its interval is held like any other message now; the next ones of these symbols wait in turn."""
        cdef Slot* slot
        cdef Held* held
        while rules.cooling != NULL and rules.cooling.due <= now:
            slot = rules.cooling
            rules.cooling = slot.next_cooling
            if rules.cooling == NULL:
                rules.last_cooling = NULL
            self.cooling -= 1
            if slot.pending == NULL:
                continue
            held = slot.pending
            slot.pending = NULL
            rules.pending -= 1
            rules.outbox.pending_messages -= 1
            slot.due = now + rules.interval
            cool(rules, slot)
            self.cooling += 1
            # What has waited here may be merged further: the subscriber has asked for fewer of them.
            self.hold_one(rules, slot if rules.policy == CONFLATE else NULL, held)

    cdef void send_due(self) noexcept nogil:
        cdef Rules* rules = self.rated
        while rules != NULL:
            self.take_due(rules, self.now())
            rules = rules.next_rated
        rules = self.rated
        while rules != NULL:
            if rules.first != NULL and rules.outbox.head == NULL:
                if not self.send_held(rules.outbox):
                    rules = self.rated  # the connection is lost, and its subscriptions are gone
                    continue
            rules = rules.next_rated

    cdef bint send_held(self, Outbox* outbox) noexcept nogil:
        """Send what is held, now that nothing is queued before it. False: the outbox was given up."""
        self.drain(outbox)
        return not outbox.closed

    cdef bint feed_outbox(self, Outbox* outbox) noexcept nogil:
        """Queue some of what is held, of each subscription in turn. False when there is nothing, or no memory."""
        cdef Subscription* list = <Subscription*> outbox.subscriptions
        cdef Rules* rules
        cdef int i
        if outbox.held_messages == 0 and not outbox.gaps:
            return False
        for i in range(outbox.subscription_count):
            rules = <Rules*> list[i].rules
            if rules != NULL and (rules.first != NULL or rules.gap_count):
                if not feed(rules, FEED_BYTES, self.now()):
                    return False
        outbox.gaps = False
        return outbox.head != NULL

    cdef void skip_old(self, Outbox* outbox, int64_t now) noexcept nogil:
        cdef Subscription* list = <Subscription*> outbox.subscriptions
        cdef Rules* rules
        cdef int i
        for i in range(outbox.subscription_count):
            rules = <Rules*> list[i].rules
            if rules != NULL and rules.policy == SKIP and rules.first != NULL and now - rules.first.since > outbox.max_age:
                skip_held(rules)
                outbox.gaps = True

    cdef void release_held(self, Outbox* outbox, Rules* rules) noexcept nogil:
        """A subscription ends, the stream goes on: what waits of it goes to the queue, as the last of it."""
        cdef Held* held
        cdef int i
        for i in range(rules.slot_room):
            if rules.slots[i] != NULL and rules.slots[i].pending != NULL:
                held = rules.slots[i].pending
                rules.slots[i].pending = NULL
                rules.pending -= 1
                outbox.pending_messages -= 1
                hold(rules, NULL, held)
        while rules.first != NULL or rules.gap_count:
            if not feed(rules, 1 << 30, self.now()):
                return
        if outbox.head != NULL:
            self.await_writable(outbox)
            self.wake()

    cdef void release_all(self, Outbox* outbox, Asset* asset) noexcept nogil:
        """Of one asset; NULL: of all."""
        cdef Subscription* list = <Subscription*> outbox.subscriptions
        cdef int i
        for i in range(outbox.subscription_count):
            if list[i].rules != NULL and (asset == NULL or list[i].asset == asset):
                self.release_held(outbox, <Rules*> list[i].rules)

    cdef void end(self, Outbox* outbox, int index) noexcept nogil:
        """End a subscription; what is still held of it is lost."""
        cdef Rules* rules = <Rules*> (<Subscription*> outbox.subscriptions)[index].rules
        cdef Slot* slot
        end_subscription(outbox, index)
        if rules == NULL:
            return
        slot = rules.cooling
        while slot != NULL:
            self.cooling -= 1
            slot = slot.next_cooling
        self.unrate(rules)
        free_rules(rules)

    cdef void drop_subscriptions(self, Outbox* outbox) noexcept nogil:
        while outbox.subscription_count:
            self.end(outbox, outbox.subscription_count - 1)

    # --- the memory of all ------------------------------------------------------------------------------------------------

    cdef void guard_memory(self, int64_t now) noexcept nogil:
        """Count what all outboxes and sources hold. Too much: give up those of the lowest priority that have waited longest."""
        cdef Outbox* outbox
        cdef Outbox* victim
        cdef int64_t held = self.events.text_length
        cdef int i, level
        for i in range(self.source_slots):
            if self.sources[i] != NULL:
                held += self.sources[i].rest_room
        outbox = self.waiting
        while outbox != NULL:
            held += outbox.queued_bytes + outbox.held_bytes
            outbox = outbox.next_waiting
        level = 2 if held > self.hard_mark else 1 if held > self.soft_mark else 0
        if level > self.memory_level or (level < self.memory_level and now - self.memory_told > WARNING_PERIOD):
            self.tell_memory(level, held, now)
        while held > self.soft_mark:
            victim = NULL
            outbox = self.waiting
            while outbox != NULL:
                if not outbox.closed and (victim == NULL or goes_before(outbox, victim)):
                    victim = outbox
                outbox = outbox.next_waiting
            if victim == NULL:
                break
            held -= victim.queued_bytes + victim.held_bytes
            self.give_up(victim, MEMORY_PRESSURE, 0)
        self.memory_held = held
        self.memory_since = 0

    cdef void tell_memory(self, int level, int64_t held, int64_t now) noexcept nogil:
        cdef Event* event = tell(&self.events, MEMORY_MARK)
        if event == NULL:
            return
        self.memory_level = level
        self.memory_told = now
        event.reason = level
        event.number = held

    # --- outboxes -------------------------------------------------------------------------------------------------------

    cdef Outbox* find_outbox(self, int64_t handle) noexcept nogil:
        cdef int slot = <int> (handle >> 1 & ((1 << SLOT_BITS) - 1))
        if not handle & OUTBOX_BIT or slot >= self.outbox_slots:
            return NULL
        if self.outboxes[slot] == NULL or self.outboxes[slot].handle != handle:
            return NULL
        return self.outboxes[slot]

    cdef void show_interest(self, Outbox* outbox) noexcept nogil:
        """Have epoll tell what this outbox waits for, and nothing else."""
        cdef uint32_t wanted = EPOLLOUT if outbox.armed and not outbox.starved else 0
        if (outbox.phase == GREETING or outbox.phase == OPEN or outbox.phase == LEAVING) and not outbox.paused:
            wanted |= EPOLLIN
        if outbox.dead:
            wanted = 0
        if wanted == outbox.interest:
            return
        if epoll_change(
                self.epoll, EPOLL_CTL_MOD if wanted and outbox.interest else EPOLL_CTL_ADD if wanted else EPOLL_CTL_DEL,
                outbox.fd, wanted, outbox.handle) == 0:
            outbox.interest = wanted
        elif outbox.armed:
            outbox.starved = True  # epoll is out of memory; the clock stands in for it

    cdef void await_writable(self, Outbox* outbox) noexcept nogil:
        if outbox.armed:
            return
        outbox.armed = True
        self.show_interest(outbox)
        outbox.previous_waiting = NULL
        outbox.next_waiting = self.waiting
        if self.waiting != NULL:
            self.waiting.previous_waiting = outbox
        self.waiting = outbox

    cdef void stop_waiting(self, Outbox* outbox) noexcept nogil:
        if not outbox.armed:
            return
        outbox.armed = False
        self.show_interest(outbox)
        if outbox.previous_waiting != NULL:
            outbox.previous_waiting.next_waiting = outbox.next_waiting
        else:
            self.waiting = outbox.next_waiting
        if outbox.next_waiting != NULL:
            outbox.next_waiting.previous_waiting = outbox.previous_waiting

    cdef void serve_outbox(self, int64_t handle, uint32_t events) noexcept nogil:
        cdef Outbox* outbox = self.find_outbox(handle)
        if outbox == NULL or outbox.dead:
            return
        if outbox.interest & EPOLLIN and events & (EPOLLIN | EPOLLHUP | EPOLLERR):
            self.read_client(outbox)
            if outbox.dead:
                return
        elif events & (EPOLLHUP | EPOLLERR) and not events & EPOLLOUT:
            self.give_up(outbox, CONNECTION_LOST, 0)
            return
        if outbox.armed and events & EPOLLOUT:
            self.drain(outbox)

    cdef void drain(self, Outbox* outbox) noexcept nogil:
        """Send what waits, as far as the socket takes it; what is held follows what is queued."""
        cdef iovec[CHUNKS_AT_ONCE] parts
        cdef msghdr message
        cdef Chunk* chunk
        cdef ssize_t n
        cdef int64_t part
        cdef int count
        while outbox.head != NULL or self.feed_outbox(outbox):
            count = 0
            chunk = outbox.head
            while chunk != NULL and count < CHUNKS_AT_ONCE:
                parts[count].iov_base = chunk_bytes(chunk) + chunk.sent
                parts[count].iov_len = chunk.size - chunk.sent
                count += 1
                chunk = chunk.next
            clear_message(&message)
            message.msg_iov = parts
            message.msg_iovlen = count
            n = sendmsg(outbox.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
            self.sends += 1
            if n < 0:
                if errno == EINTR:
                    continue
                if must_wait(outbox, errno):
                    self.await_writable(outbox)
                    self.show_interest(outbox)
                else:
                    self.give_up(outbox, CONNECTION_LOST, errno)
                return
            while n > 0:
                part = outbox.head.size - outbox.head.sent
                if part > n:
                    part = n
                advance(outbox, part)
                n -= part
        self.stop_waiting(outbox)
        self.on_drained(outbox)

    cdef void give_up(self, Outbox* outbox, int reason, int error) noexcept nogil:
        """Let an outbox go, with a receipt. A consumer that is only slow may still be told why, see ``parting``."""
        cdef Event* event = NULL
        cdef int i
        if not outbox.parting:  # else it has been told already
            event = tell(&self.events, OUTBOX_CLOSED)
        settle_accounts(outbox)
        if event != NULL:
            event.handle = outbox.handle
            event.reason = reason
            event.error = error
            event.number = self.oldest(outbox)
            event.time = outbox.queued_bytes + outbox.held_bytes
        for i in range(outbox.slice_count):
            outbox.killed += outbox.notes[i].messages
        outbox.slice_count = 0
        self.drop_subscriptions(outbox)
        outbox.closed = True
        if (outbox.owned and outbox.phase == OPEN
                and (reason == SLOW_CONSUMER_BYTES or reason == SLOW_CONSUMER_AGE or reason == MEMORY_PRESSURE)):
            keep_partial(outbox)
            outbox.parting = True
            if outbox.head == NULL:
                self.stop_waiting(outbox)
        else:
            drop_queue(outbox)
            self.stop_waiting(outbox)
            outbox.dead = True
            self.show_interest(outbox)
        if event != NULL:
            self.take_account(outbox, &event.account)

    cdef void on_drained(self, Outbox* outbox) noexcept nogil:
        """Nothing waits any more. After the last words, the other side sees the end of the stream."""
        outbox.warned_already = False
        if outbox.phase == LEAVING:
            shutdown(outbox.fd, SHUT_WR)

    cdef int64_t oldest(self, Outbox* outbox) noexcept nogil:
        """Age of the oldest waiting byte, in ms."""
        return (now_ns(CLOCK_MONOTONIC) - outbox.head.since) // 1000000 if outbox.head != NULL else 0

    cdef void take_account(self, Outbox* outbox, Account* account) noexcept nogil:
        settle_accounts(outbox)
        account.published = outbox.published
        account.delivered = outbox.delivered
        account.queued_messages = outbox.queued_messages + outbox.held_messages + outbox.pending_messages
        account.skipped = outbox.skipped
        account.conflated = outbox.conflated
        account.killed = outbox.killed
        account.queued_bytes = outbox.queued_bytes + outbox.held_bytes
        account.oldest = self.oldest(outbox)
        account.sent_bytes = outbox.sent_bytes
        account.last_asset = outbox.last_asset
        account.last_seq = outbox.last_seq

    cdef void free_outbox(self, Outbox* outbox) noexcept nogil:
        drop_queue(outbox)
        if outbox.owned:
            if outbox.cut:  # let the kernel drop its megabytes for it, too; who did not read will not read on
                reset_on_close(outbox.fd)
            close(outbox.fd)
            self.connections -= 1
        forget(&outbox.inbox.pending)
        forget(&outbox.inbox.message)
        free(outbox.slices)
        free(outbox.notes)
        free(outbox.subscriptions)
        free(outbox)

    cdef void refuse(self, Asset* asset, int reason, const uint8_t* p, int64_t length, int64_t received) noexcept nogil:
        asset.rejected[reason] += 1
        if reason == LINE_TOO_LONG:
            self.lines += 1
            asset.lines += 1
            asset.last = received
        elif reason == UNTERMINATED_LINE:
            self.lines += 1
            asset.lines += 1
        if not (take_token(&asset.rejections, received, LINE_BURST, LINES_PER_SECOND)
                and tell_line(
                    &self.events, LINE_REJECTED, asset.id, reason, p,
                    SAMPLE_BYTES if reason == LINE_TOO_LONG and length > SAMPLE_BYTES else length, length, received)):
            asset.untold += 1

    # --- what the control plane calls ------------------------------------------------------------------------------------

    def stop(self):
        cdef uint64_t one = 1
        self.stopping = 1
        write(self.wake_fd, &one, 8)

    cdef Asset* find_asset(self, int id) noexcept nogil:
        return self.assets[id] if 0 <= id < self.asset_count else NULL

    def add_asset(self, str name, bint in_arena, int64_t future_ms, int64_t max_age_ms):
        cdef bytes encoded = name.encode()
        cdef const char* data = encoded
        cdef int length = <int> len(encoded), id
        if not 1 <= length <= MAX_SYMBOL or not is_symbol(<text> data, length):
            raise ValueError(f"not an asset's name: {name!r}")
        self.acquire()
        id = self.put_asset(<text> data, length, in_arena, future_ms, max_age_ms)
        self.release()
        if id < 0:
            raise MemoryError
        return id

    cdef int put_asset(self, text name, int length, bint in_arena, int64_t future_ms, int64_t max_age_ms) noexcept nogil:
        cdef Asset* asset = NULL
        cdef int i
        cdef void* grown
        for i in range(self.asset_count):
            if self.assets[i].name_length == length and memcmp(self.assets[i].name, name, length) == 0:
                asset = self.assets[i]
        if asset == NULL:
            if self.asset_count == self.asset_room:
                i = self.asset_room * 2 + 8
                grown = realloc(self.assets, i * sizeof(Asset*))
                if grown == NULL:
                    return -1
                self.assets = <Asset**> grown
                self.asset_room = i
            asset = <Asset*> calloc(1, sizeof(Asset))
            if asset == NULL:
                return -1
            asset.id = asset.racer.id = self.asset_count
            asset.name_length = length
            memcpy(asset.name, name, length)
            make_label(&asset.label, name, length, self.simulated)
            self.assets[self.asset_count] = asset
            self.asset_count += 1
        asset.future = to_ns(future_ms)
        asset.max_age = to_ns(max_age_ms)
        asset.racer.races = in_arena
        return asset.id

    def retire_asset(self, int id):
        cdef Asset* asset
        self.acquire()
        asset = self.find_asset(id)
        if asset != NULL:
            asset.racer.races = False
        self.release()

    def add_source(self, int asset, int fd, int64_t full_ms):
        cdef int flags = fcntl(fd, F_GETFL), capacity = fcntl(fd, F_GETPIPE_SZ)
        cdef int64_t handle
        if flags < 0 or fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0:
            raise OSError(errno, "not a descriptor that can be read without blocking")
        self.acquire()
        handle = self.put_source(asset, fd, full_ms, capacity)
        self.release()
        if handle == -1:
            raise MemoryError
        if handle == -2:
            raise KeyError(f"no asset {asset}")
        if handle == -3:
            raise OSError(errno, "not a descriptor that can be waited for")
        return handle

    cdef int64_t put_source(self, int id, int fd, int64_t full_ms, int capacity) noexcept nogil:
        cdef Asset* asset = self.find_asset(id)
        cdef Source* source
        cdef int slot = 0
        cdef void* grown
        if asset == NULL:
            return -2
        while slot < self.source_slots and self.sources[slot] != NULL:
            slot += 1
        if slot == self.source_slots:
            grown = realloc(self.sources, (self.source_slots * 2 + 8) * sizeof(Source*))
            if grown == NULL:
                return -1
            self.sources = <Source**> grown
            self.source_slots = self.source_slots * 2 + 8
            memset(self.sources + slot, 0, (self.source_slots - slot) * sizeof(Source*))
        source = <Source*> calloc(1, sizeof(Source))
        if source == NULL:
            return -1
        self.serial += 1
        source.handle = self.serial << (SLOT_BITS + 1) | slot << 1
        source.fd = fd
        source.asset = asset
        source.full_limit = to_ns(full_ms)
        source.capacity = capacity if capacity > 0 else 65536
        source.interest = EPOLLIN | EPOLLET if capacity > 0 else EPOLLIN  # a terminal, say, does not give all it has at once
        if epoll_change(self.epoll, EPOLL_CTL_ADD, fd, source.interest, source.handle) < 0:
            free(source)
            return -3
        self.sources[slot] = source
        self.source_count += 1
        return source.handle

    def remove_source(self, int64_t handle):
        cdef Source* source
        self.acquire()
        source = self.find_source(handle)
        if source != NULL:
            if not source.ended:
                epoll_change(self.epoll, EPOLL_CTL_DEL, source.fd, 0, 0)
            self.sources[handle >> 1 & ((1 << SLOT_BITS) - 1)] = NULL
            self.source_count -= 1
            free(source.rest)
            free(source)
        self.release()
        return source != NULL

    def add_outbox(self, int fd, bint lines, int64_t max_bytes, int64_t max_age_ms):
        cdef int64_t handle
        if not is_socket(fd):
            raise OSError(errno, "an outbox writes to a connected stream socket")
        self.acquire()
        handle = self.put_outbox(fd, lines, max_bytes, max_age_ms)
        self.release()
        if handle < 0:
            raise MemoryError
        return handle

    cdef int64_t put_outbox(self, int fd, bint lines, int64_t max_bytes, int64_t max_age_ms) noexcept nogil:
        cdef Outbox* outbox
        cdef int slot = 0, slots
        cdef void* grown
        if self.outbox_count < self.outbox_slots:
            slot = self.next_slot
            while self.outboxes[slot] != NULL:
                slot = slot + 1 if slot + 1 < self.outbox_slots else 0
        else:
            slot = self.outbox_slots
            slots = slot * 2 + 16
            grown = realloc(self.outboxes, slots * sizeof(Outbox*))
            if grown == NULL:
                return -1
            self.outboxes = <Outbox**> grown
            grown = realloc(self.touched, slots * sizeof(Outbox*))
            if grown == NULL:
                return -1
            self.touched = <Outbox**> grown
            memset(self.outboxes + slot, 0, (slots - slot) * sizeof(Outbox*))
            self.outbox_slots = slots
        outbox = <Outbox*> calloc(1, sizeof(Outbox))
        if outbox == NULL:
            return -1
        self.serial += 1
        outbox.handle = self.serial << (SLOT_BITS + 1) | slot << 1 | OUTBOX_BIT
        outbox.fd = fd
        outbox.lines = lines
        outbox.max_bytes = max_bytes
        outbox.max_age = to_ns(max_age_ms)
        outbox.last_asset = -1
        self.outboxes[slot] = outbox
        self.outbox_count += 1
        self.next_slot = slot + 1 if slot + 1 < self.outbox_slots else 0
        return outbox.handle

    def remove_outbox(self, int64_t handle):
        cdef Outbox* outbox
        cdef Account account
        self.acquire()
        outbox = self.find_outbox(handle)
        if outbox != NULL:
            self.stop_waiting(outbox)
            outbox.dead = True
            self.show_interest(outbox)
            self.drop_subscriptions(outbox)
            drop_queue(outbox)
            self.take_account(outbox, &account)
            self.delivered_before += outbox.delivered
            self.outboxes[handle >> 1 & ((1 << SLOT_BITS) - 1)] = NULL
            self.outbox_count -= 1
            self.free_outbox(outbox)
        self.release()
        return None if outbox == NULL else account_tuple(&account)

    def push(self, int64_t handle, bytes data not None, bint final=False):
        cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(data)
        cdef int64_t size = PyBytes_GET_SIZE(data)
        cdef bint accepted
        self.acquire()
        accepted = self.push_bytes(self.find_outbox(handle), p, size, final)
        self.release()
        return accepted

    cdef bint push_bytes(self, Outbox* outbox, const uint8_t* p, int64_t size, bint final) noexcept nogil:
        cdef ssize_t n = 0
        if outbox == NULL or outbox.dead or (outbox.closed and not (outbox.parting and final)):
            return False
        if final:
            self.release_all(outbox, NULL)
        if outbox.head == NULL:
            n = send_bytes(outbox, p, size)
            self.sends += 1
            if n < 0:
                if not must_wait(outbox, errno):
                    self.give_up(outbox, CONNECTION_LOST, errno)
                    return False
                n = 0
            outbox.sent_bytes += n
        if n < size:
            if not queue_bytes(outbox, p + n, size - n, now_ns(CLOCK_MONOTONIC)):
                self.give_up(outbox, CONNECTION_LOST, ENOMEM)
                return False
            if n:
                outbox.tail.whole = size - n  # the rest of a frame that is under way
            self.await_writable(outbox)
            self.wake()
            self.turn = 0
            if final and outbox.phase == WRITE_ONLY and is_over(outbox, 1):
                self.drain(outbox)
                if is_over(outbox, 1):
                    self.give_up(outbox, SLOW_CONSUMER_BYTES, 0)
                    return False
            elif not final:
                self.note_queued(outbox, size - n, self.now())
        if final:
            outbox.closed = True
            outbox.parting = False
            self.drop_subscriptions(outbox)
            if outbox.phase != WRITE_ONLY:
                self.leave_soon(outbox)
        return True

    # --- subscribers' connections -----------------------------------------------------------------------------------------

    cdef void leave_soon(self, Outbox* outbox) noexcept nogil:
        """The last words are said: let them arrive, and wait a little for the other side to close."""
        outbox.phase = LEAVING
        outbox.deadline = now_ns(CLOCK_MONOTONIC) + self.leaving_time
        forget(&outbox.inbox.pending)
        forget(&outbox.inbox.message)
        outbox.paused = False
        self.show_interest(outbox)
        if outbox.head == NULL:
            self.on_drained(outbox)

    cdef void accept_all(self) noexcept nogil:
        cdef char[64] name
        cdef int fd
        cdef int64_t now = now_ns(CLOCK_MONOTONIC)
        for _ in range(ACCEPTS_AT_ONCE):
            if self.connections >= self.most_connections:
                self.listen_on(False)  # the backlog waits until the next sweep finds room
                return
            fd = accept_connection(self.listener, name)
            if fd < 0:
                if errno != EAGAIN and errno != EINTR and errno != ECONNABORTED:
                    self.listen_on(False)  # out of descriptors, say: once a sweep is often enough to try again
                return
            if self.admit(fd, <text> name, <int> strlen(name), now) < 0:
                close(fd)
                return

    cdef int64_t admit(self, int fd, text name, int length, int64_t now) noexcept nogil:
        """A stranger's connection is an outbox from the start; its request is awaited. -1 when there is no memory for it."""
        cdef int64_t handle = self.put_outbox(fd, False, self.max_bytes, -1)
        cdef Outbox* outbox
        if handle < 0:
            return -1
        outbox = self.find_outbox(handle)
        outbox.max_age = self.max_age
        outbox.owned = True
        self.connections += 1
        outbox.phase = GREETING
        outbox.heard = now
        outbox.deadline = now + self.handshake_time
        # The peer's name leads what is told of the request.
        if not keep(&outbox.inbox.message, <uint8_t*> name, length):
            self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return handle
        self.show_interest(outbox)
        if outbox.interest == 0:
            self.give_up(outbox, CONNECTION_LOST, errno)
        return handle

    cdef void listen_on(self, bint on) noexcept nogil:
        if self.listener >= 0 and on != self.listening:
            self.listening = on
            epoll_change(self.epoll, EPOLL_CTL_ADD if on else EPOLL_CTL_DEL, self.listener, EPOLLIN, LISTENER)

    cdef void look_after_connections(self, int64_t now) noexcept nogil:
        """Whoever is late or silent: strangers are dropped, clients pinged, then given up; and leaving has an end."""
        cdef Outbox* outbox
        cdef Event* event
        cdef int i
        if self.connections < self.most_connections:
            self.listen_on(True)
        for i in range(self.outbox_slots):
            outbox = self.outboxes[i]
            if outbox == NULL or outbox.dead or outbox.phase == WRITE_ONLY:
                continue
            if outbox.phase == OPEN:
                if now - outbox.heard >= self.silence_time:
                    event = tell(&self.events, PEER_SILENT)
                    if event != NULL:
                        event.handle = outbox.handle
                        outbox.heard = now  # told once
                elif now - outbox.heard >= self.ping_time and now - outbox.pinged >= self.ping_time and not outbox.closed:
                    outbox.pinged = now
                    self.push_bytes(outbox, <const uint8_t*> b"\x89\x00", 2, False)
            elif now >= outbox.deadline:
                self.give_up(outbox, FINISHED if outbox.phase == LEAVING else CONNECTION_LOST, 0)

    cdef void read_client(self, Outbox* outbox) noexcept nogil:
        cdef Inbox* inbox = &outbox.inbox
        cdef uint8_t* start = self.buffer
        cdef int have = inbox.pending.length
        cdef ssize_t n
        if outbox.phase == LEAVING:
            have = 0
        if have:
            memcpy(start, inbox.pending.start, have)
        n = recv(outbox.fd, start + have, CLIENT_READ_BYTES, MSG_DONTWAIT)
        if n < 0 and (errno == EAGAIN or errno == EINTR):
            return
        if n <= 0:
            self.give_up(outbox, FINISHED if outbox.phase == LEAVING else CONNECTION_LOST, errno if n < 0 else 0)
            return
        if outbox.phase == LEAVING:
            return
        outbox.heard = now_ns(CLOCK_MONOTONIC)
        inbox.idle_bytes += n
        if outbox.phase == GREETING:
            self.read_head(outbox, have + <int> n)
        else:
            self.read_frames(outbox, start, have + n)

    cdef void read_head(self, Outbox* outbox, int length) noexcept nogil:
        """What has come of the request head lies in the buffer."""
        cdef Inbox* inbox = &outbox.inbox
        cdef uint8_t* blank = <uint8_t*> memmem(self.buffer, length, b"\r\n\r\n", 4)
        cdef int head = <int> (blank - self.buffer) + 4 if blank != NULL else length
        cdef Event* event
        cdef uint8_t* told
        inbox.pending.length = 0
        if blank == NULL and length <= MAX_HEAD:
            if not keep(&inbox.pending, self.buffer, length):
                self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return
        if head > MAX_HEAD:
            head = length = MAX_HEAD  # told without its end, so nobody takes it for a whole one
        outbox.phase = ASKING
        self.show_interest(outbox)
        # What follows the head are frames already; they wait until the control plane has answered.
        if not keep(&inbox.pending, self.buffer + head, length - head):
            self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return
        event = tell_text(&self.events, REQUESTED, inbox.message.length + 1 + head)
        if event == NULL:
            self.give_up(outbox, CONNECTION_LOST, ENOMEM)
            return
        event.handle = outbox.handle
        told = self.events.text + event.text
        memcpy(told, inbox.message.start, inbox.message.length)
        told[inbox.message.length] = 0x0a
        memcpy(told + inbox.message.length + 1, self.buffer, head)
        forget(&inbox.message)

    cdef void read_frames(self, Outbox* outbox, uint8_t* p, int64_t length) noexcept nogil:
        """Take the frames at ``p``, which is not the inbox's own memory; keep what is left over."""
        cdef Inbox* inbox = &outbox.inbox
        cdef uint8_t* stop = p + length
        cdef Frame frame
        cdef int fault = NO_FAULT
        inbox.pending.length = 0
        while outbox.phase == OPEN and not outbox.paused:
            fault = take_frame(p, stop - p, MAX_MESSAGE, &frame)
            if fault == NO_FAULT and frame.size == 0:
                break
            if fault == NO_FAULT:
                p += frame.size
                fault = self.hear(outbox, &frame)
            if fault != NO_FAULT:
                self.tell_fault(outbox, fault)
                return
            if outbox.dead:
                return
        if outbox.phase != OPEN:
            return
        if inbox.idle_bytes > MAX_IDLE_BYTES:
            self.tell_fault(outbox, BROKEN_PROTOCOL)
            return
        if p < stop:
            if not keep(&inbox.pending, p, <int> (stop - p)):
                self.give_up(outbox, CONNECTION_LOST, ENOMEM)
        else:
            forget(&inbox.pending)

    cdef int hear(self, Outbox* outbox, Frame* frame) noexcept nogil:
        """Act on one frame; returns a Fault."""
        cdef Inbox* inbox = &outbox.inbox
        cdef uint8_t[MAX_HEADER + MAX_CONTROL] pong
        cdef bint complete
        cdef int fault, code, length
        cdef Event* event
        if frame.opcode == PONG:
            return NO_FAULT
        if frame.opcode == PING:
            inbox.idle_bytes = 0
            length = <int> frame.length
            if length:
                memcpy(pong + MAX_HEADER, frame.payload, length)
            put_header(pong + MAX_HEADER, length, PONG)
            if not outbox.closed:
                self.push_bytes(outbox, pong + MAX_HEADER - 2, length + 2, False)
            return NO_FAULT
        if frame.opcode == CLOSE:
            fault = check_close(frame, &code)
            if fault != NO_FAULT:
                return fault
            event = tell_text(&self.events, PEER_CLOSED, frame.length - 2 if frame.length > 2 else 0)
            if event != NULL:
                event.handle = outbox.handle
                event.number = code
                if frame.length > 2:
                    memcpy(self.events.text + event.text, frame.payload + 2, frame.length - 2)
            # Echoed, as RFC 6455, 5.5.1 asks; behind what waits already.
            length = 2 if frame.length else 0
            if length:
                memcpy(pong + MAX_HEADER, frame.payload, 2)
            put_header(pong + MAX_HEADER, length, CLOSE)
            self.push_bytes(outbox, pong + MAX_HEADER - 2, length + 2, True)
            return NO_FAULT
        fault = add_fragment(inbox, frame, &complete)
        if fault != NO_FAULT or not complete:
            return fault
        event = tell_text(&self.events, MESSAGE, inbox.message.length)
        if event == NULL:
            return OUT_OF_MEMORY
        event.handle = outbox.handle
        event.number = inbox.kind == TEXT
        if inbox.message.length:
            memcpy(self.events.text + event.text, inbox.message.start, inbox.message.length)
        forget(&inbox.message)
        inbox.kind = 0
        inbox.idle_bytes = 0
        inbox.unheard += 1
        self.has_unheard = True
        if inbox.unheard >= MAX_UNHEARD or self.events.text_length > self.events.line_room // 2:
            outbox.paused = True
            self.show_interest(outbox)
        return NO_FAULT

    cdef void tell_fault(self, Outbox* outbox, int fault) noexcept nogil:
        """The client broke the protocol: nothing more it says is understood. The control plane says goodbye."""
        cdef Event* event = tell(&self.events, PEER_FAULT)
        if event != NULL:
            event.handle = outbox.handle
            event.reason = fault
        forget(&outbox.inbox.pending)
        forget(&outbox.inbox.message)
        if not outbox.paused:
            outbox.paused = True
            self.show_interest(outbox)
        outbox.inbox.unheard = -1  # for good: nobody will take anything up to here

    cdef void listen_again(self) noexcept nogil:
        """The control plane has taken all messages: read on from those who had to wait for that."""
        cdef Outbox* outbox
        cdef int i
        self.has_unheard = False
        for i in range(self.outbox_slots):
            outbox = self.outboxes[i]
            if outbox == NULL or outbox.phase != OPEN:
                continue
            if outbox.inbox.unheard > 0:
                outbox.inbox.unheard = 0
            if not outbox.paused or outbox.inbox.unheard < 0:
                continue
            outbox.paused = False
            self.resume(outbox)

    cdef void resume(self, Outbox* outbox) noexcept nogil:
        """Take the frames that have come already, then read on."""
        cdef Bytes pending = outbox.inbox.pending
        outbox.inbox.pending.start = NULL
        outbox.inbox.pending.length = outbox.inbox.pending.room = 0
        self.read_frames(outbox, pending.start, pending.length)
        free(pending.start)
        if not outbox.dead:
            self.show_interest(outbox)

    def listen(
        self, int fd, int most_connections, int64_t handshake_ms, int64_t ping_ms, int64_t silence_ms, int64_t leaving_ms,
        int64_t max_bytes, int64_t max_age_ms,
    ):
        if self.listener >= 0:
            raise ValueError("one listener is enough")
        self.acquire()
        self.listener = fd
        self.most_connections = most_connections
        self.handshake_time = to_ns(handshake_ms)
        self.ping_time = to_ns(ping_ms)
        self.silence_time = to_ns(silence_ms)
        self.leaving_time = to_ns(leaving_ms)
        self.max_bytes = max_bytes
        self.max_age = to_ns(max_age_ms)
        self.listen_on(True)
        self.wake()
        self.release()

    def guard(self, int64_t soft_bytes, int64_t hard_bytes):
        self.acquire()
        self.soft_mark = soft_bytes
        self.hard_mark = hard_bytes
        self.release()

    def set_priority(self, int64_t handle, int priority):
        cdef Outbox* outbox
        self.acquire()
        outbox = self.find_outbox(handle)
        if outbox != NULL:
            outbox.priority = priority
        self.release()

    def adopt(self, int fd, bytes peer not None):
        cdef text name = <text> PyBytes_AS_STRING(peer)
        cdef int length = <int> len(peer)
        cdef int flags = fcntl(fd, F_GETFL)
        cdef int64_t handle = -1
        if flags < 0 or fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 or not is_socket(fd):
            raise OSError(errno, "only a connected stream socket can be adopted")
        self.acquire()
        if self.listener >= 0 and self.connections < self.most_connections:
            handle = self.admit(fd, name, length, now_ns(CLOCK_MONOTONIC))
            self.wake()
        self.release()
        return handle

    def stop_listening(self):
        cdef int i
        self.acquire()
        self.listen_on(False)
        self.listener = -1
        for i in range(self.outbox_slots):
            if self.outboxes[i] != NULL and self.outboxes[i].phase == GREETING and not self.outboxes[i].dead:
                self.give_up(self.outboxes[i], CONNECTION_LOST, 0)
        self.release()

    def answer(self, int64_t handle, bytes data not None, bint welcome):
        cdef Outbox* outbox
        cdef bint done = False
        self.acquire()
        outbox = self.find_outbox(handle)
        if outbox != NULL and outbox.phase == ASKING and not outbox.dead:
            if welcome:
                outbox.phase = OPEN
                outbox.inbox.idle_bytes = 0
            done = self.push_bytes(
                outbox, <const uint8_t*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), not welcome)
        self.release()
        return done

    def hear_from(self, int64_t handle):
        cdef Outbox* outbox
        self.acquire()
        outbox = self.find_outbox(handle)
        if outbox != NULL and outbox.phase == OPEN and not outbox.paused and not outbox.dead:
            self.resume(outbox)
        self.release()

    cdef void wake(self) noexcept nogil:
        # The pump may be waiting without end, from a time when nothing could grow old.
        cdef uint64_t one = 1
        write(self.wake_fd, &one, 8)

    def subscribe(
        self, int64_t handle, int id, bytes symbol, int policy=0, bint merge_trades=False, int64_t interval=0,
    ):
        cdef uint8_t[MAX_SYMBOL] name
        cdef int length = -1, done
        if symbol is not None:
            length = <int> len(symbol)
            if not is_symbol(<text> PyBytes_AS_STRING(symbol), length):
                raise ValueError(f"not a symbol: {symbol!r}")
            memcpy(name, PyBytes_AS_STRING(symbol), length)
        self.acquire()
        self.turn = 0
        done = self.subscribe_to(self.find_outbox(handle), self.find_asset(id), name, length, policy, merge_trades, interval)
        self.release()
        if done < 0:
            raise MemoryError
        return done == 1

    cdef int subscribe_to(
        self, Outbox* outbox, Asset* asset, text name, int length, int policy, bint merge_trades, int64_t interval
    ) noexcept nogil:
        cdef Symbol* symbol = NULL
        cdef Rules* rules
        cdef int i
        if outbox == NULL or outbox.closed or asset == NULL:
            return 0
        if length >= 0:
            symbol = find_symbol(asset, name, length, 0x3fffffff)
            if symbol == NULL:
                return -1
        i = find_subscription(outbox, asset, symbol)
        if i >= 0:
            rules = <Rules*> (<Subscription*> outbox.subscriptions)[i].rules
            if rules == NULL and policy == KILL and interval == 0:
                return 0
            if (rules != NULL and rules.policy == policy and rules.merge_trades == merge_trades
                    and rules.interval == interval):
                return 0
            if rules != NULL:
                self.release_held(outbox, rules)
            if symbol != NULL:
                symbol.subscriptions += 1  # not forgotten between the former policy and the new one
            self.end(outbox, i)
            if symbol != NULL:
                symbol.subscriptions -= 1
        if symbol == NULL:  # the symbols' own subscriptions fall silent: what waits in them comes before the whole asset's
            self.release_all(outbox, asset)
        rules = NULL
        if policy != KILL or interval:
            rules = self.new_rules(outbox, asset, symbol, policy, merge_trades, interval)
            if rules == NULL:
                return -1
        if start_subscription(outbox, asset, symbol, rules):
            return 1
        if rules != NULL:
            self.unrate(rules)
            free_rules(rules)
        if symbol != NULL and symbol.subscriptions == 0 and symbol.ticks == 0:
            drop_symbol(asset, symbol)
        return -1

    cdef Rules* new_rules(
        self, Outbox* outbox, Asset* asset, Symbol* symbol, int policy, bint merge_trades, int64_t interval
    ) noexcept nogil:
        cdef Rules* rules = <Rules*> calloc(1, sizeof(Rules))
        if rules == NULL:
            return NULL
        rules.outbox = outbox
        rules.asset = asset
        rules.symbol = symbol
        rules.policy = policy
        rules.merge_trades = merge_trades
        rules.interval = interval
        if interval:
            rules.next_rated = self.rated
            if self.rated != NULL:
                self.rated.previous_rated = rules
            self.rated = rules
        return rules

    cdef void unrate(self, Rules* rules) noexcept nogil:
        if rules.interval == 0:
            return
        if rules.next_rated != NULL:
            rules.next_rated.previous_rated = rules.previous_rated
        if rules.previous_rated != NULL:
            rules.previous_rated.next_rated = rules.next_rated
        else:
            self.rated = rules.next_rated

    def unsubscribe(self, int64_t handle, int id, bytes symbol):
        cdef uint8_t[MAX_SYMBOL] name
        cdef int length = -1
        cdef bint done
        if symbol is not None:
            length = <int> len(symbol)
            if not is_symbol(<text> PyBytes_AS_STRING(symbol), length):
                return False
            memcpy(name, PyBytes_AS_STRING(symbol), length)
        self.acquire()
        done = self.unsubscribe_from(self.find_outbox(handle), self.find_asset(id), name, length)
        self.release()
        return done

    cdef bint unsubscribe_from(self, Outbox* outbox, Asset* asset, text name, int length) noexcept nogil:
        cdef Symbol* symbol = NULL
        cdef int index
        if outbox == NULL or asset == NULL:
            return False
        if length >= 0:
            symbol = find_symbol(asset, name, length, 0)
            if symbol == NULL:
                return False
        index = find_subscription(outbox, asset, symbol)
        if index < 0:
            return False
        if (<Subscription*> outbox.subscriptions)[index].rules != NULL:
            self.turn = 0
            self.release_held(outbox, <Rules*> (<Subscription*> outbox.subscriptions)[index].rules)
        self.end(outbox, index)
        return True

    def broadcast(self, int id, bytes payload not None):
        cdef int64_t length = PyBytes_GET_SIZE(payload)
        cdef uint8_t* memory = <uint8_t*> malloc(MAX_HEADER + length + 1)
        cdef uint8_t* text_start = memory + MAX_HEADER
        cdef int header, reached = 0, slot = 0
        if memory == NULL:
            raise MemoryError
        memcpy(text_start, PyBytes_AS_STRING(payload), length)
        text_start[length] = 0x0a
        header = put_header(text_start, length, 1)
        while slot >= 0:  # a few at a time, for ticks are waiting
            self.acquire()
            reached += self.broadcast_to(self.find_asset(id), text_start, length, header, &slot)
            self.release()
        free(memory)
        return reached

    cdef int broadcast_to(self, Asset* asset, uint8_t* payload, int64_t length, int header, int* slot) noexcept nogil:
        """From ``slot`` on; sets it to where to go on, -1 at the end. Returns how many it reached."""
        cdef Outbox* outbox
        cdef int i, reached = 0, first = slot[0]
        slot[0] = -1
        if asset == NULL or asset.subscribers == 0:
            return 0
        for i in range(first, self.outbox_slots):
            if i - first == OUTBOXES_AT_ONCE:
                slot[0] = i
                return reached
            outbox = self.outboxes[i]
            if outbox == NULL or outbox.closed or not subscribes(outbox, asset):
                continue
            if outbox.lines:
                reached += self.push_bytes(outbox, payload, length + 1, False)
            else:
                reached += self.push_bytes(outbox, payload - header, length + header, False)
        return reached

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def take_events(self):
        cdef Events swap
        cdef uint64_t count, dropped
        cdef Event* event
        cdef list told = []
        cdef int i
        read(self.event_fd, &count, 8)
        self.acquire()
        swap = self.taken
        swap.dropped = self.events.dropped
        self.taken = self.events
        self.events = swap
        self.events.count = 0
        self.events.text_length = 0
        dropped = self.events.dropped
        if self.has_unheard:
            self.listen_again()
        self.release()
        for i in range(self.taken.count):
            event = &self.taken.items[i]
            if event.kind == LINE_REJECTED:
                told.append(("line_rejected", event.asset, REJECTIONS[event.reason],
                             PyBytes_FromStringAndSize(<char*> self.taken.text + event.text, event.text_length), event.number,
                             event.time))
            elif event.kind == STATUS_LINE:
                told.append(("status", event.asset,
                             PyBytes_FromStringAndSize(<char*> self.taken.text + event.text, event.text_length)))
            elif event.kind == MESSAGE:
                told.append(("message", event.handle, bool(event.number),
                             PyBytes_FromStringAndSize(<char*> self.taken.text + event.text, event.text_length)))
            elif event.kind == REQUESTED:
                told.append(("requested", event.handle,
                             PyBytes_FromStringAndSize(<char*> self.taken.text + event.text, event.text_length)))
            elif event.kind == PEER_CLOSED:
                told.append(("peer_closed", event.handle, event.number,
                             PyBytes_FromStringAndSize(<char*> self.taken.text + event.text, event.text_length)))
            elif event.kind == PEER_FAULT:
                told.append(("peer_fault", event.handle, _FAULTS[event.reason]))
            elif event.kind == PEER_SILENT:
                told.append(("peer_silent", event.handle))
            elif event.kind == SOURCE_ENDED:
                told.append(("source_ended", event.handle, event.asset, event.error))
            elif event.kind == SOURCE_OVERFLOWED:
                told.append(("source_overflowed", event.handle, event.asset))
            elif event.kind == BLOCK_BUFFERED:
                told.append(("block_buffered", event.handle, event.asset, event.number))
            elif event.kind == HALF_FULL:
                told.append(("half_full", event.handle, event.time, event.number))
            elif event.kind == MEMORY_MARK:
                told.append(("memory_mark", _MEMORY_LEVELS[event.reason], event.number))
            else:
                told.append(("outbox_closed", event.handle, _CLOSE_REASONS[event.reason], event.error, event.number, event.time,
                             account_tuple(&event.account)))
        self.taken.count = 0
        return told, dropped

    def asset_statistics(self, int id):
        cdef Asset* asset
        cdef Asset copy
        self.acquire()
        asset = self.find_asset(id)
        if asset != NULL:
            copy = asset[0]
        self.release()
        if asset == NULL:
            raise KeyError(f"no asset {id}")
        return (
            copy.name[:copy.name_length].decode(), copy.seq, copy.ticks, copy.opaque, copy.heartbeats, copy.statuses, copy.lines,
            copy.bytes, copy.reads, [copy.rejected[i] for i in range(<int> REASONS)], copy.last, copy.subscribers, copy.symbol_count, copy.untold,
        )

    def symbol_statistics(self, int id):
        cdef Asset* asset
        cdef Symbol* copies
        cdef int i, count = 0, room
        self.acquire()
        asset = self.find_asset(id)
        room = asset.symbol_count if asset != NULL else 0
        self.release()
        if asset == NULL:
            raise KeyError(f"no asset {id}")
        copies = <Symbol*> malloc((room + 1) * sizeof(Symbol))
        if copies == NULL:
            raise MemoryError
        while True:  # a few at a time, for ticks are waiting; one that moves meanwhile may be missed or come twice
            self.acquire()
            room = min(room, asset.symbol_count)
            for i in range(count, min(count + SYMBOLS_AT_ONCE, room)):
                copies[i] = asset.symbols[i][0]
            self.release()
            count = min(count + SYMBOLS_AT_ONCE, room)
            if count >= room:
                break
        try:
            return [symbol_tuple(&copies[i]) for i in range(room)]
        finally:
            free(copies)

    def one_symbol(self, int id, bytes symbol not None):
        cdef uint8_t[MAX_SYMBOL] name
        cdef int length = <int> len(symbol)
        cdef Asset* asset
        cdef Symbol* found = NULL
        cdef Symbol copy
        if not is_symbol(<text> PyBytes_AS_STRING(symbol), length):
            return None
        memcpy(name, PyBytes_AS_STRING(symbol), length)
        self.acquire()
        asset = self.find_asset(id)
        if asset != NULL:
            found = find_symbol(asset, name, length, 0)
        if found != NULL:
            copy = found[0]
        self.release()
        return None if found == NULL else symbol_tuple(&copy)

    def arena_order(self, int64_t now=0):
        """The ranking as of ``now`` (ns since the epoch; 0: this moment)."""
        cdef Racer* copies
        cdef int i, next = 0, count = 0, room = self.asset_count  # assets are never freed, and only we add them
        copies = <Racer*> malloc((room + 1) * sizeof(Racer))
        if copies == NULL:
            raise MemoryError
        while next < room:  # a few at a time, for ticks are waiting
            self.acquire()
            for i in range(next, min(next + ASSETS_AT_ONCE, room)):
                if self.assets[i].racer.races:
                    copies[count] = self.assets[i].racer
                    count += 1
            self.release()
            next += ASSETS_AT_ONCE
        if now == 0:
            now = now_ns(CLOCK_REALTIME)
        for i in range(count):
            hold_silence_against(&copies[i], now)
        qsort(copies, count, sizeof(Racer), compare)
        try:
            return [
                (i + 1, self.asset_name(copies[i].id), copies[i].ticks, copies[i].lag, copies[i].smoothed, copies[i].score,
                 now - copies[i].last if copies[i].ticks else 0, copies[i].smoothed < 0,
                 severity(copies[i].score) if copies[i].ticks else 0)
                for i in range(count)
            ]
        finally:
            free(copies)

    def arena(self):
        return self.arena_order()

    cdef str asset_name(self, int id):
        # Names never change, and assets are never freed.
        cdef Asset* asset = self.assets[id]
        return asset.name[:asset.name_length].decode()

    def outbox_statistics(self, int64_t handle):
        cdef Outbox* outbox
        cdef Account account
        self.acquire()
        outbox = self.find_outbox(handle)
        if outbox != NULL:
            self.take_account(outbox, &account)
        self.release()
        return None if outbox == NULL else account_tuple(&account)

    def statistics(self):
        cdef uint64_t delivered
        cdef uint64_t batches, lines, sends, partial, dropped
        cdef int i, sources, outboxes
        self.acquire()
        delivered = self.delivered_before
        for i in range(self.outbox_slots):
            if self.outboxes[i] != NULL:
                settle_accounts(self.outboxes[i])
                delivered += self.outboxes[i].delivered
        batches = self.batches
        lines = self.lines
        sends = self.sends
        partial = self.partial_sends
        dropped = self.events.dropped
        sources = self.source_count
        outboxes = self.outbox_count
        self.release()
        return batches, lines, sends, partial, delivered, sources, outboxes, dropped


cdef tuple symbol_tuple(const Symbol* s):
    return s.name[:s.length].decode(), s.ticks, s.lag, s.smoothed, s.last, s.outbox_count


cdef tuple account_tuple(const Account* a):
    return (
        a.published, a.delivered, a.queued_messages, a.skipped, a.conflated, a.killed, a.queued_bytes, a.oldest, a.sent_bytes,
        None if a.last_asset < 0 else a.last_asset, None if a.last_asset < 0 else a.last_seq,
    )


# --- for tests and benchmarks -------------------------------------------------------------------------------------------------

_KINDS = {IGNORED: "ignored", REJECTED: "rejected", TICK: "tick", OPAQUE: "opaque", STATUS: "status", HEARTBEAT: "heartbeat"}


def parse_line(
    bytes line not None, new_york, *, str asset="test", uint64_t seq=1, int64_t received_ns=0, int64_t future_ms=-1, int64_t max_age_ms=-1,
    bint simulated=False,
):
    """What the pump makes of one line: its kind, and the message or the reason. ``line`` must not hold a line feed."""
    cdef NativePump pump = NativePump(new_york, simulated=simulated)
    cdef int id = pump.add_asset(asset, False, future_ms, max_age_ms), kind, length = <int> len(line)
    cdef Asset* one = pump.find_asset(id)
    cdef uint8_t* end
    if b"\n" in line or length > MAX_LINE:
        raise ValueError(f"one line of up to {MAX_LINE} bytes, without its line feed")
    memcpy(pump.buffer, PyBytes_AS_STRING(line), length)
    pump.buffer[length] = 0x0a
    kind = read_line(&pump.parser, &pump.line, pump.buffer, pump.buffer + length, received_ns, one.future, one.max_age)
    if kind == REJECTED:
        return "rejected", REJECTIONS[pump.line.reason].encode()
    if kind != TICK and kind != OPAQUE:
        return _KINDS[kind], b""
    end = put_message(pump.out, &pump.line, pump.parser.members, &one.label, seq, received_ns)
    return _KINDS[kind], PyBytes_FromStringAndSize(<char*> pump.out, end - pump.out)


def measure(bytes lines not None, int repeat, *, int assets=1):
    """Parse, rank and encode ``lines`` ``repeat`` times, without any system call but the clock once a pass.

    The lines go to ``assets`` assets in turn, all of them in the arena. Returns nanoseconds of this thread's time, and how many
    ticks that was.
    """
    cdef NativePump pump = NativePump([(0, 0)])
    cdef int64_t size = len(lines), started, received
    cdef uint8_t* copy = <uint8_t*> malloc(size + PADDING)
    cdef uint8_t* p
    cdef uint8_t* line_feed
    cdef int turn = 0
    if copy == NULL:
        raise MemoryError
    memcpy(copy, PyBytes_AS_STRING(lines), size)
    memset(copy + size, 0, PADDING)
    for number in range(assets):
        pump.add_asset(f"measured-{number}", True, -1, -1)
    pump.encode_always = True
    with nogil:
        started = now_ns(CLOCK_THREAD_CPUTIME_ID)
        for _ in range(repeat):
            received = now_ns(CLOCK_REALTIME)
            p = copy
            while True:
                line_feed = <uint8_t*> memchr(p, 0x0a, copy + size - p)
                if line_feed == NULL:
                    break
                pump.take_line(pump.assets[turn], p, line_feed, received)
                p = line_feed + 1
                turn = turn + 1 if turn + 1 < assets else 0
        started = now_ns(CLOCK_THREAD_CPUTIME_ID) - started
    free(copy)
    return started, sum([pump.assets[turn].ticks for turn in range(assets)])
