# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True
"""The data plane: from an ingestor's pipe to a subscriber's socket, in one thread, without the GIL.

Here is its face for Python; what it does is in the parts beside this file, _turns.pxd first. A tick's walk, each step a function of
its own:

    turn_until_stopped (_turns) → read_source → take_lines → take_next_line (_sources) → read_by_shape (_shapes), or read_line (_ticks)
        → take_tick (_sources) → examine (_quality), observe (_arena) → publish (_publishing) → put_message (_frames)
        → finish_run → flush (_publishing) → send_batch (_bounds) → send_slices (_outboxes)

Two threads share a pump: its own, and the one that calls its methods. Rules:
 - All state is guarded by ``lock``. The pump's thread holds it during a batch, not while it waits. ``gate`` keeps it fair.
 - Nobody touches a Python object while holding the lock: an allocation may start a garbage collection, and that must not hold up a
   tick. Methods copy what they need into C memory, unlock, and only then build objects.
 - Handles are never used again. An event of epoll for a handle that is gone is ignored.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer

from finstream._snapshots cimport *
from finstream._turns cimport *

REJECTIONS = (
    "line_too_long", "unterminated_line", "not_json", "invalid_utf8", "invalid_escape", "control_character", "too_deep",
    "duplicate_member", "reserved_member", "invalid_type", "missing_symbol", "invalid_symbol", "missing_price", "invalid_decimal",
    "decimal_out_of_range", "price_not_positive", "negative_value", "missing_timestamp", "invalid_timestamp",
    "timestamp_in_future", "timestamp_too_old", "invalid_side", "invalid_identity", "invalid_exchange",
    "duplicate", "out_of_order", "price_anomaly", "crossed_quote",
)
assert len(REJECTIONS) == REASONS
CHECKS_OF_QUALITY = REJECTIONS[DUPLICATE:]
MAX_LINE_BYTES = MAX_LINE

cdef enum:
    TOPICS_AT_ONCE = 256            # subscribed while the pump waits

cdef struct Wanted:
    int asset
    int length                      # of the symbol; negative: the whole asset
    uint8_t[MAX_SYMBOL] symbol
    int policy
    bint merge_trades
    int64_t interval                # ns, between messages of a symbol; 0: none

_CLOSE_REASONS = ("slow_consumer_bytes", "slow_consumer_age", "connection_lost", "finished", "memory_pressure")
_TAKEOVERS = ("first", "mute", "lag", "clock")
_MEMORY_LEVELS = ("normal", "soft", "hard")
_FAULTS = {BROKEN_PROTOCOL: "broken_protocol", NOT_UTF8: "not_utf8", TOO_BIG: "too_big", OUT_OF_MEMORY: "out_of_memory"}


@cython.final
cdef class NativePump:
    """See finstream/pump.py, which documents what each method promises."""

    cdef Pump pump

    @property
    def event_fd(self):
        return self.pump.event_fd

    # --- birth and death ------------------------------------------------------------------------------------------------

    def __cinit__(self, new_york, *, bint simulated=False, int line_bytes=MAX_LINE, int64_t event_bytes=4 << 20):
        self.pump.epoll = self.pump.wake_fd = self.pump.timer_fd = self.pump.event_fd = self.pump.listener = -1
        if not 1 <= line_bytes <= MAX_LINE:
            raise ValueError(f"line_bytes must be 1 to {MAX_LINE}, not {line_bytes}")
        pthread_mutex_init(&self.pump.lock, NULL)
        pthread_mutex_init(&self.pump.gate, NULL)
        self.pump.simulated = simulated
        self.pump.max_line = line_bytes
        self.pump.events.text_room = self.pump.taken.text_room = event_bytes
        self.pump.events.line_room = self.pump.taken.line_room = event_bytes
        self.pump.parser.members = <Member*> malloc(MAX_MEMBERS * sizeof(Member))
        self.pump.parser.names = <uint64_t*> calloc(NAME_SLOTS, sizeof(uint64_t))
        self.pump.parser.scratch = <uint8_t*> calloc(2 * MAX_LINE + PADDING, 1)
        self.pump.parser.seed = <uint32_t> now_ns(CLOCK_MONOTONIC)
        self.pump.parser.zone.count = len(new_york)
        self.pump.parser.zone.starts = <int64_t*> malloc((len(new_york) + 1) * sizeof(int64_t))
        self.pump.parser.zone.offsets = <int64_t*> malloc((len(new_york) + 1) * sizeof(int64_t))
        self.pump.shapes.nodes = <Node*> calloc(NODES, sizeof(Node))
        self.pump.buffer = <uint8_t*> calloc(MAX_LINE + READ_BYTES + PADDING, 1)
        self.pump.out = <uint8_t*> malloc(OUT_BYTES)
        self.pump.out_lines = <uint8_t*> malloc(OUT_BYTES)
        self.pump.events.text = <uint8_t*> malloc(event_bytes)
        self.pump.taken.text = <uint8_t*> malloc(event_bytes)
        cdef Parser* parser = &self.pump.parser
        if (parser.members == NULL or parser.names == NULL or parser.scratch == NULL or parser.zone.starts == NULL
                or parser.zone.offsets == NULL or self.pump.shapes.nodes == NULL or self.pump.buffer == NULL or self.pump.out == NULL or self.pump.out_lines == NULL
                or self.pump.events.text == NULL or self.pump.taken.text == NULL):
            raise MemoryError
        forget_shapes(&self.pump.shapes)
        self.pump.receipt.time = -1
        self.pump.contests.seed = <uint64_t> self.pump.parser.seed * <uint64_t> 0x9e3779b97f4a7c15
        for i, (start, offset) in enumerate(new_york):
            self.pump.parser.zone.starts[i] = start
            self.pump.parser.zone.offsets[i] = offset
        self.pump.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.pump.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.pump.event_fd = self.pump.events.fd = self.pump.taken.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.pump.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        if self.pump.epoll < 0 or self.pump.wake_fd < 0 or self.pump.event_fd < 0 or self.pump.timer_fd < 0:
            raise OSError(errno, "the pump needs four more file descriptors")
        epoll_change(self.pump.epoll, EPOLL_CTL_ADD, self.pump.wake_fd, EPOLLIN, 0)
        epoll_change(self.pump.epoll, EPOLL_CTL_ADD, self.pump.timer_fd, EPOLLIN, TIMER)

    def __dealloc__(self):
        cdef int i, j
        cdef Asset* asset
        for i in range(self.pump.outbox_slots):
            if self.pump.outboxes[i] != NULL:
                drop_subscriptions(&self.pump, self.pump.outboxes[i])
                free_outbox(&self.pump, self.pump.outboxes[i])
        for i in range(self.pump.source_slots):
            if self.pump.sources[i] != NULL:
                free(self.pump.sources[i].rest)
                free(self.pump.sources[i])
        for i in range(self.pump.asset_count):
            asset = self.pump.assets[i]
            for j in range(asset.symbol_count):
                free_symbol(asset.symbols[j])
            free_quality(asset.quality)
            free(asset.symbols)
            free(asset.buckets)
            free(asset.outboxes)
            free(asset.tamed)
            free(asset.best_label)
            free(asset)
        free_contests(&self.pump.contests)
        for fd in (self.pump.epoll, self.pump.wake_fd, self.pump.timer_fd, self.pump.event_fd):
            if fd >= 0:
                close(fd)
        free(self.pump.assets)
        free(self.pump.sources)
        free(self.pump.outboxes)
        free(self.pump.touched)
        free(self.pump.events.items)
        free(self.pump.events.text)
        free(self.pump.taken.items)
        free(self.pump.taken.text)
        dispose(&self.pump.seal)
        free(self.pump.buffer)
        free(self.pump.out)
        free(self.pump.out_lines)
        free(self.pump.shapes.nodes)
        free(self.pump.parser.members)
        free(self.pump.parser.names)
        free(self.pump.parser.scratch)
        free(self.pump.parser.zone.starts)
        free(self.pump.parser.zone.offsets)
        pthread_mutex_destroy(&self.pump.lock)
        pthread_mutex_destroy(&self.pump.gate)

    # --- the pump's thread ----------------------------------------------------------------------------------------------

    def run(self):
        """Pump until :meth:`stop`. The GIL is not held."""
        with nogil:
            turn_until_stopped(&self.pump)

    # --- what the control plane calls ------------------------------------------------------------------------------------

    def stop(self):
        cdef uint64_t one = 1
        self.pump.stopping = 1
        write(self.pump.wake_fd, &one, 8)

    def add_asset(self, str name, bint in_arena, int64_t future_ms, int64_t max_age_ms):
        cdef bytes encoded = name.encode()
        cdef const char* data = encoded
        cdef int length = <int> len(encoded), id
        if not 1 <= length <= MAX_SYMBOL or not is_symbol(<text> data, length):
            raise ValueError(f"not an asset's name: {name!r}")
        acquire(&self.pump)
        id = put_asset(&self.pump, <text> data, length, in_arena, future_ms, max_age_ms)
        release(&self.pump)
        if id < 0:
            raise MemoryError
        return id

    def add_best(self, str name):
        cdef int id = self.add_asset(name, False, -1, -1)
        acquire(&self.pump)
        self.pump.best = self.pump.assets[id]
        release(&self.pump)
        return id

    def check_quality(self, int id, tuple choices not None, double band, int confirmations, int window):
        cdef Quality* quality = <Quality*> calloc(1, sizeof(Quality))
        cdef Asset* asset
        cdef int i
        if quality == NULL:
            raise MemoryError
        for i in range(CHECKS):
            quality.choices[i] = choices[i]
        quality.band = band
        quality.confirmations = confirmations
        quality.known.window = window
        quality.seed = <uint64_t> self.pump.parser.seed << 32 | <uint64_t> id
        acquire(&self.pump)
        asset = find_asset(&self.pump, id)
        if asset != NULL:
            quality = take_quality(asset, quality)
        release(&self.pump)
        free_quality(quality)

    def retire_asset(self, int id):
        cdef Asset* asset
        acquire(&self.pump)
        asset = find_asset(&self.pump, id)
        if asset != NULL:
            asset.racer.races = False
        release(&self.pump)

    def add_source(self, int asset, int fd, int64_t full_ms):
        cdef int flags = fcntl(fd, F_GETFL), capacity = fcntl(fd, F_GETPIPE_SZ)
        cdef int64_t handle
        if flags < 0 or fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0:
            raise OSError(errno, "not a descriptor that can be read without blocking")
        acquire(&self.pump)
        handle = put_source(&self.pump, asset, fd, full_ms, capacity)
        release(&self.pump)
        if handle == -1:
            raise MemoryError
        if handle == -2:
            raise KeyError(f"no asset {asset}")
        if handle == -3:
            raise OSError(errno, "not a descriptor that can be waited for")
        return handle

    def remove_source(self, int64_t handle):
        cdef Source* source
        acquire(&self.pump)
        source = find_source(&self.pump, handle)
        if source != NULL:
            if not source.ended:
                epoll_change(self.pump.epoll, EPOLL_CTL_DEL, source.fd, 0, 0)
                source.asset.sources -= 1
            self.pump.sources[handle >> 1 & ((1 << SLOT_BITS) - 1)] = NULL
            self.pump.source_count -= 1
            free(source.rest)
            free(source)
        release(&self.pump)
        return source != NULL

    def add_outbox(self, int fd, bint lines, int64_t max_bytes, int64_t max_age_ms):
        cdef int64_t handle
        if not is_socket(fd):
            raise OSError(errno, "an outbox writes to a connected stream socket")
        acquire(&self.pump)
        handle = put_outbox(&self.pump, fd, lines, max_bytes, max_age_ms)
        release(&self.pump)
        if handle < 0:
            raise MemoryError
        return handle

    def remove_outbox(self, int64_t handle):
        cdef Outbox* outbox
        cdef Account account, dropped
        acquire(&self.pump)
        outbox = find_outbox(&self.pump, handle)
        if outbox != NULL:
            send_batch(&self.pump, outbox)
            if outbox.touched:
                self.pump.touched[outbox.touched - 1] = NULL
            take_account(outbox, &dropped)
            stop_waiting(&self.pump, outbox)
            outbox.dead = True
            show_interest(&self.pump, outbox)
            drop_subscriptions(&self.pump, outbox)
            drop_queue(outbox)
            take_account(outbox, &account)
            account.queued_bytes = dropped.queued_bytes
            account.oldest = dropped.oldest
            add_account(&self.pump.before, &account)
            self.pump.outboxes[handle >> 1 & ((1 << SLOT_BITS) - 1)] = NULL
            self.pump.outbox_count -= 1
            free_outbox(&self.pump, outbox)
        release(&self.pump)
        return None if outbox == NULL else account_tuple(&account)

    def push(self, int64_t handle, bytes data not None, bint final=False):
        cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(data)
        cdef int64_t size = PyBytes_GET_SIZE(data)
        cdef bint accepted
        acquire(&self.pump)
        accepted = push_bytes(&self.pump, find_outbox(&self.pump, handle), p, size, final)
        release(&self.pump)
        return accepted

    # --- subscribers' connections -----------------------------------------------------------------------------------------

    def serve(
        self, int listener, int most_connections, int64_t handshake_ms, int64_t ping_ms, int64_t silence_ms, int64_t leaving_ms,
        int64_t max_bytes, int64_t max_age_ms,
    ):
        if self.pump.serving:
            raise ValueError("connections are served already")
        acquire(&self.pump)
        self.pump.serving = True
        self.pump.listener = listener
        self.pump.most_connections = most_connections
        self.pump.handshake_time = to_ns(handshake_ms)
        self.pump.ping_time = to_ns(ping_ms)
        self.pump.silence_time = to_ns(silence_ms)
        self.pump.leaving_time = to_ns(leaving_ms)
        self.pump.max_bytes = max_bytes
        self.pump.max_age = to_ns(max_age_ms)
        listen_on(&self.pump, True)
        wake(&self.pump)
        release(&self.pump)

    def guard(self, int64_t soft_bytes, int64_t hard_bytes):
        acquire(&self.pump)
        self.pump.soft_mark = soft_bytes
        self.pump.hard_mark = hard_bytes
        release(&self.pump)

    def set_priority(self, int64_t handle, int priority):
        cdef Outbox* outbox
        acquire(&self.pump)
        outbox = find_outbox(&self.pump, handle)
        if outbox != NULL:
            outbox.priority = priority
        release(&self.pump)

    def adopt(self, int fd, bytes peer not None, session=None):
        cdef text name = <text> PyBytes_AS_STRING(peer)
        cdef int length = <int> len(peer)
        cdef int flags = fcntl(fd, F_GETFL)
        cdef int64_t handle = -1
        cdef void* ssl = PyCapsule_GetPointer(session, b"finstream.tls") if session is not None else NULL
        if flags < 0 or fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 or not is_socket(fd):
            raise OSError(errno, "only a connected stream socket can be adopted")
        if ssl != NULL and load_openssl() != NULL:
            raise ValueError("a session of an OpenSSL that cannot be found")
        acquire(&self.pump)
        if self.pump.serving and self.pump.connections < self.pump.most_connections:
            if ssl == NULL or (prepare(&self.pump.seal) and seal_into(ssl, &self.pump.seal)):
                handle = admit(&self.pump, fd, name, length, now_ns(CLOCK_MONOTONIC), ssl)
            if handle >= 0 and ssl != NULL:
                SSL_up_ref(ssl)
            wake(&self.pump)
        release(&self.pump)
        return handle

    def connections(self):
        return self.pump.connections

    def encryption(self):
        cdef int64_t encrypted, content, opened
        acquire(&self.pump)
        encrypted, content, opened = self.pump.encrypted, self.pump.seal.content, self.pump.seal.opened
        release(&self.pump)
        return encrypted, content, opened

    def stop_listening(self):
        cdef int i
        acquire(&self.pump)
        listen_on(&self.pump, False)
        self.pump.serving = False
        self.pump.listener = -1
        for i in range(self.pump.outbox_slots):
            if self.pump.outboxes[i] != NULL and self.pump.outboxes[i].phase == GREETING and not self.pump.outboxes[i].dead:
                give_up(&self.pump, self.pump.outboxes[i], CONNECTION_LOST, 0)
        release(&self.pump)

    def refuse(self, int64_t handle, bytes answer not None):
        cdef Outbox* outbox
        cdef bint done = False
        acquire(&self.pump)
        outbox = find_outbox(&self.pump, handle)
        if outbox != NULL and outbox.phase == ASKING and not outbox.dead:
            done = push_bytes(
                &self.pump, outbox, <const uint8_t*> PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer), True)
        release(&self.pump)
        return done

    def take_up(self, int64_t handle, bytes words not None, int priority, list topics not None):
        cdef int count = <int> len(topics), done = 0, i
        cdef Wanted* wanted = <Wanted*> calloc(count + 1, sizeof(Wanted))
        cdef Outbox* outbox
        cdef bint asked = False, accepted = True
        cdef int64_t size = PyBytes_GET_SIZE(words)
        if wanted == NULL:
            raise MemoryError
        try:
            for i in range(count):
                read_wanted(&wanted[i], topics[i])
            while True:  # the pump may go on between two slices of many topics
                acquire(&self.pump)
                outbox = find_outbox(&self.pump, handle)
                if done == 0 and outbox != NULL:
                    outbox.priority = priority
                    asked = outbox.phase == ASKING and not outbox.dead
                    if asked:
                        outbox.phase = OPEN
                        outbox.inbox.idle_bytes = 0
                    if size:
                        accepted = push_bytes(&self.pump, outbox, <const uint8_t*> PyBytes_AS_STRING(words), size, False)
                for i in range(done, min(done + TOPICS_AT_ONCE, count)):
                    if subscribe_to(
                            &self.pump, outbox, find_asset(&self.pump, wanted[i].asset), wanted[i].symbol, wanted[i].length,
                            wanted[i].policy, wanted[i].merge_trades, wanted[i].interval) < 0:
                        accepted = False
                done += TOPICS_AT_ONCE
                if done >= count and asked and outbox != NULL and outbox.phase == OPEN and not outbox.paused and not outbox.dead:
                    resume(&self.pump, outbox)
                release(&self.pump)
                if outbox == NULL or done >= count:
                    return accepted and outbox != NULL
        finally:
            free(wanted)

    def subscribe(self, int64_t handle, tuple topic not None):
        cdef Wanted wanted
        cdef int done
        read_wanted(&wanted, topic)
        acquire(&self.pump)
        done = subscribe_to(
            &self.pump, find_outbox(&self.pump, handle), find_asset(&self.pump, wanted.asset), wanted.symbol, wanted.length,
            wanted.policy, wanted.merge_trades, wanted.interval)
        release(&self.pump)
        if done < 0:
            raise MemoryError
        return done == 1

    def unsubscribe(self, int64_t handle, int id, bytes symbol):
        cdef uint8_t[MAX_SYMBOL] name
        cdef int length = -1
        cdef bint done
        if symbol is not None:
            length = copy_symbol(name, symbol)
            if length < 0:
                return False
        acquire(&self.pump)
        done = unsubscribe_from(&self.pump, find_outbox(&self.pump, handle), find_asset(&self.pump, id), name, length)
        release(&self.pump)
        return done

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
            acquire(&self.pump)
            reached += broadcast_to(&self.pump, find_asset(&self.pump, id), text_start, length, header, &slot)
            release(&self.pump)
        free(memory)
        return reached

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def take_events(self):
        cdef Events swap
        cdef uint64_t count, dropped
        cdef Event* event
        cdef list told = []
        cdef int i
        read(self.pump.event_fd, &count, 8)
        acquire(&self.pump)
        swap = self.pump.taken
        swap.dropped = self.pump.events.dropped
        self.pump.taken = self.pump.events
        self.pump.events = swap
        self.pump.events.count = 0
        self.pump.events.text_length = 0
        dropped = self.pump.events.dropped
        if self.pump.has_unheard:
            listen_again(&self.pump)
        release(&self.pump)
        for i in range(self.pump.taken.count):
            event = &self.pump.taken.items[i]
            if event.kind == LINE_REJECTED:
                told.append(("line_rejected", event.asset, REJECTIONS[event.reason],
                             PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length), event.number,
                             event.time))
            elif event.kind == STATUS_LINE:
                told.append(("status", event.asset,
                             PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length)))
            elif event.kind == MESSAGE:
                told.append(("message", event.handle, bool(event.number),
                             PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length)))
            elif event.kind == REQUESTED:
                told.append(("requested", event.handle,
                             PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length)))
            elif event.kind == PEER_CLOSED:
                told.append(("peer_closed", event.handle, event.number,
                             PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length)))
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
            elif event.kind == SWITCHED:
                told.append(("switched", PyBytes_FromStringAndSize(<char*> self.pump.taken.text + event.text, event.text_length),
                             event.handle, event.asset, _TAKEOVERS[event.reason]))
            elif event.kind == MEMORY_MARK:
                told.append(("memory_mark", _MEMORY_LEVELS[event.reason], event.number))
            else:
                told.append(("outbox_closed", event.handle, _CLOSE_REASONS[event.reason], event.error, event.number, event.time,
                             account_tuple(&event.account)))
        self.pump.taken.count = 0
        return told, dropped

    def asset_statistics(self, int id):
        return copy_asset_statistics(&self.pump, id)

    def symbol_statistics(self, int id):
        return copy_symbol_statistics(&self.pump, id)

    def one_symbol(self, int id, bytes symbol not None):
        return copy_one_symbol(&self.pump, id, symbol)

    def arena_order(self, int64_t now=0):
        return copy_arena_order(&self.pump, now)

    def new_rankings(self, int most, int64_t now=0):
        return copy_new_rankings(&self.pump, most, now)

    def form(self, int id):
        return copy_form(&self.pump, id)

    def form_on_symbol(self, int id, bytes symbol not None, int64_t now=0):
        return copy_form_on_symbol(&self.pump, id, symbol, now)

    def outbox_statistics(self, int64_t handle):
        return copy_outbox_statistics(&self.pump, handle)

    def statistics(self):
        return copy_statistics(&self.pump)

    def outbox_totals(self, int most):
        return copy_outbox_totals(&self.pump, most)

    # --- for tests and benchmarks ---------------------------------------------------------------------------------------

    def take(self, int id, bytes lines not None, int64_t received):
        """Whole lines of an asset, as if its source had been read at ``received`` (ns since the epoch)."""
        cdef Asset* asset
        cdef int64_t size = PyBytes_GET_SIZE(lines)
        cdef uint8_t* copy = <uint8_t*> malloc(size + PADDING)
        cdef uint8_t* p = copy
        cdef uint8_t* line_feed
        if copy == NULL:
            raise MemoryError
        memcpy(copy, PyBytes_AS_STRING(lines), size)
        memset(copy + size, 0x0a, PADDING)
        acquire(&self.pump)
        asset = find_asset(&self.pump, id)
        if asset != NULL:
            begin_run(&self.pump, asset)
            while True:
                line_feed = take_next_line(&self.pump, asset, p, copy + size, received)
                if line_feed == NULL:
                    break
                p = line_feed + 1
            finish_run(&self.pump, asset)
            flush(&self.pump, False)
        release(&self.pump)
        free(copy)
        if asset == NULL:
            raise KeyError(f"no asset {id}")


cdef int read_wanted(Wanted* wanted, tuple topic) except -1:
    cdef bytes symbol
    wanted.asset, symbol, wanted.policy, wanted.merge_trades, wanted.interval = topic
    wanted.length = -1
    if symbol is not None:
        wanted.length = copy_symbol(wanted.symbol, symbol)
        if wanted.length < 0:
            raise ValueError(f"not a symbol: {symbol!r}")
    return 0


# --- for tests and benchmarks -------------------------------------------------------------------------------------------------

_KINDS = {IGNORED: "ignored", REJECTED: "rejected", TICK: "tick", OPAQUE: "opaque", STATUS: "status", HEARTBEAT: "heartbeat"}


def parse_line(
    bytes line not None, new_york, *, str asset="test", uint64_t seq=1, int64_t received_ns=0, int64_t future_ms=-1, int64_t max_age_ms=-1,
    bint simulated=False,
):
    """What the pump makes of one line: its kind, and the message or the reason. ``line`` must not hold a line feed."""
    cdef NativePump native = NativePump(new_york, simulated=simulated)
    cdef Pump* pump = &native.pump
    cdef int id = native.add_asset(asset, False, future_ms, max_age_ms), kind, length = <int> len(line)
    cdef Asset* one = find_asset(pump, id)
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
    make_receipt(&pump.receipt, received_ns, &one.label)
    end = put_message(pump.out, &pump.line, pump.parser.members, &one.label, seq, &pump.receipt)
    return _KINDS[kind], PyBytes_FromStringAndSize(<char*> pump.out, end - pump.out)


def measure(bytes lines not None, int repeat, *, int assets=1, tuple checks=None, bint races=True, bint best=False):
    """Parse, rank and encode ``lines`` ``repeat`` times, without any system call but the clock once a pass.

    The lines go to ``assets`` assets in turn, all of them in the arena if they are to race; ``best``: the best source of each symbol is
    published as well. ``checks`` are the arguments of ``check_quality``, None for none. Each pass begins with no trade known to the
    contests, so that it has as much to do as the first. Returns nanoseconds of this thread's time, and how many ticks that was.
    """
    cdef NativePump native = NativePump([(0, 0)])
    cdef Pump* pump = &native.pump
    cdef int64_t size = len(lines), started, received
    cdef uint8_t* copy = <uint8_t*> malloc(size + PADDING)
    cdef uint8_t* p
    cdef uint8_t* line_feed
    cdef int turn = 0
    if copy == NULL:
        raise MemoryError
    memcpy(copy, PyBytes_AS_STRING(lines), size)
    memset(copy + size, 0x0a, PADDING)
    for number in range(assets):
        id = native.add_asset(f"measured-{number}", races, -1, -1)
        pump.assets[id].sources = 1  # as if it had one: it has not left
        if checks is not None:
            native.check_quality(id, *checks)
    pump.encode_always = True
    if best:
        pump.assets[<int> native.add_best("best")].subscribers = 1
    with nogil:
        started = now_ns(CLOCK_THREAD_CPUTIME_ID)
        for _ in range(repeat):
            received = now_ns(CLOCK_REALTIME)
            forget_trades(&pump.contests)
            p = copy
            while True:
                line_feed = take_next_line(pump, pump.assets[turn], p, copy + size, received)
                if line_feed == NULL:
                    break
                p = line_feed + 1
                turn = turn + 1 if turn + 1 < assets else 0
        started = now_ns(CLOCK_THREAD_CPUTIME_ID) - started
    free(copy)
    return started, sum([pump.assets[turn].ticks for turn in range(assets)])
