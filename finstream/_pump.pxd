# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The pump's state, its lock, and its tables by handle.

Everything that turns ticks into deliveries is a function of a ``Pump*``; the class in _fastpath.pyx is only its face for Python. The
parts stand on one another in this order: _pump, _sending, _memory, _bounds, _offering, _publishing, _best, _sources and _connections,
_subscriptions, _snapshots, _turns.
"""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EIO, ENOMEM, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.unistd cimport close, read, write

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long value) noexcept nogil

from finstream._arena cimport *
from finstream._assets cimport *
from finstream._contests cimport Contests
from finstream._events cimport *
from finstream._frames cimport *
from finstream._inboxes cimport *
from finstream._json cimport *
from finstream._members cimport *
from finstream._outboxes cimport *
from finstream._policies cimport *
from finstream._quality cimport *
from finstream._queues cimport *
from finstream._sealing cimport *
from finstream._shapes cimport *
from finstream._system cimport *

cdef enum:
    LISTENER = 2                    # handles; real ones are larger
    TIMER = 4
    OUTBOX_BIT = 1
    SLOT_BITS = 24
    SIZES = 16                      # of a distribution: up to 1, 2, 4, … 16,384, and more
    SAMPLED_TURNS = 1024            # one turn in so many has its time taken

# What the time of a turn goes to; each lap ends one of them.
cdef enum Stage:
    READING                         # of ingestors' pipes
    TAKING                          # their lines: parsed, ranked, encoded, given to the outboxes
    SENDING                         # to subscribers
    TENDING                         # connections, who waits, the clock
    STAGES

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

cdef struct Pump:
    pthread_mutex_t lock
    pthread_mutex_t gate
    int asking                      # whether somebody waits at the gate, or is about to
    int epoll
    int wake_fd
    int timer_fd                    # one timer for all that is done by the clock: arming one at each wait costs every tick a little
    int period                      # of the timer, in ms; 0: it is off
    int event_fd
    int stopping
    bint simulated
    bint encode_always
    int max_line
    Parser parser
    Shapes shapes
    Receipt receipt
    Line line
    uint8_t* buffer                 # where sources are read into
    uint8_t* out                    # this batch's messages as WebSocket frames
    uint8_t* out_lines              # and as lines; only filled where somebody wants lines
    int64_t out_length
    int64_t out_lines_length
    Asset** assets
    int asset_count
    int asset_room
    Contests contests               # for each symbol, among the assets that race
    Asset* best                     # of the topic of the best source; NULL: there is none
    Source** sources                # by slot; NULL: free
    int source_slots
    int source_count
    Outbox** outboxes               # by slot; NULL: free
    int outbox_slots
    int outbox_count
    int next_slot                   # where to look for a free one
    Outbox** touched                # got slices in this batch, each listed once until it ends; NULL: it is gone. Room for every slot
    int touched_count
    Outbox* waiting                 # with something queued
    int64_t serial
    # Subscribers' connections that the pump reads itself:
    bint serving                    # new ones, that is
    int listener                    # where it accepts them; -1: nowhere, they are only adopted
    bint listening                  # in the epoll set
    int connections
    int encrypted                   # of them
    int most_connections
    Seal seal
    bint has_unheard                # messages that the control plane has not taken
    int64_t handshake_time          # these are ns
    int64_t ping_time
    int64_t silence_time
    int64_t leaving_time
    int64_t max_bytes
    int64_t max_age
    int64_t next_sweep
    int64_t next_look               # at what waits
    int64_t last_look               # at the age of what waits; 0: nothing waited
    int64_t pardon                  # until then nobody is given up for age
    Rules* rated                    # subscriptions with an interval
    uint64_t pending                # messages of theirs that wait for it
    bint has_due                    # some have waited long enough, and nothing is queued before them
    bint has_excess                 # some outbox went over its bound in this turn
    int64_t turn                    # ns, monotonic: the time of this hold of the lock, once somebody asked for it
    int64_t soft_mark               # of what all outboxes hold together; 0: none
    int64_t hard_mark
    int64_t inbox_bytes             # of unfinished messages of clients
    int64_t memory_held             # as of the last count,
    int64_t memory_since            # and what was queued since
    int memory_level
    int64_t memory_told             # ns, monotonic
    int next_glance                 # the source's slot that was glanced at last
    Events events
    Events taken
    uint64_t batches
    uint64_t lines
    uint64_t sends
    uint64_t partial_sends
    uint64_t[SIZES] turns_by_lines  # those that read any
    uint64_t[SIZES] turns_by_sends
    bint sampling                   # this turn's time is taken
    int64_t lap_start               # ns, monotonic
    uint64_t sampled_turns
    uint64_t sampled_lines
    int64_t[STAGES] stage_time      # ns, of the sampled turns
    Account before                  # of the outboxes that are gone, together


cdef inline int64_t to_ns(int64_t ms) noexcept nogil:
    """A bound in ms as one in ns; negative is none, and so is what lies beyond three centuries."""
    cdef int64_t unbounded = <int64_t> 9000000000 * 1000
    return ms * 1000000 if 0 <= ms <= unbounded else -1


cdef inline void acquire(Pump* pump) noexcept nogil:
    # A Python thread that waits for the lock holds the gate meanwhile, so the pump cannot take the lock again before it. It
    # waits with the GIL held: giving it up here would let another Python thread run while the pump waits for us.
    pthread_mutex_lock(&pump.gate)
    store(&pump.asking, 1)
    pthread_mutex_lock(&pump.lock)
    store(&pump.asking, 0)
    pthread_mutex_unlock(&pump.gate)
    pump.turn = 0


cdef inline void acquire_for_pump(Pump* pump) noexcept nogil:
    if unlikely(load(&pump.asking)):
        pthread_mutex_lock(&pump.gate)
        pthread_mutex_unlock(&pump.gate)
    pthread_mutex_lock(&pump.lock)
    pump.turn = 0


cdef inline void release(Pump* pump) noexcept nogil:
    pthread_mutex_unlock(&pump.lock)


cdef inline void give_way(Pump* pump) noexcept nogil:
    """In the middle of a turn: let those have the lock who ask for it."""
    if unlikely(load(&pump.asking)):
        release(pump)
        acquire_for_pump(pump)


cdef inline int64_t turn_time(Pump* pump) noexcept nogil:
    if pump.turn == 0:
        pump.turn = now_ns(CLOCK_MONOTONIC)
    return pump.turn


cdef inline void end_lap(Pump* pump, Stage stage) noexcept nogil:
    """The time since the last lap went to this."""
    cdef int64_t now
    if unlikely(pump.sampling):
        now = now_ns(CLOCK_MONOTONIC)
        pump.stage_time[<int> stage] += now - pump.lap_start
        pump.lap_start = now


cdef inline void count_size(uint64_t* distribution, uint64_t size) noexcept nogil:
    """In the bucket of 1, 2, 3 to 4, 5 to 8, and so on; nothing is not counted."""
    cdef int place
    if size:
        place = 63 - leading_zeros(2 * size - 1)
        distribution[place if place < SIZES else SIZES - 1] += 1


cdef inline void wake(Pump* pump) noexcept nogil:
    # The pump may be waiting without end, from a time when nothing could grow old.
    cdef uint64_t one = 1
    write(pump.wake_fd, &one, 8)


cdef inline Asset* find_asset(Pump* pump, int id) noexcept nogil:
    return pump.assets[id] if 0 <= id < pump.asset_count else NULL


cdef inline Source* find_source(Pump* pump, int64_t handle) noexcept nogil:
    cdef int slot = <int> (handle >> 1 & ((1 << SLOT_BITS) - 1))
    if slot >= pump.source_slots or pump.sources[slot] == NULL or pump.sources[slot].handle != handle:
        return NULL
    return pump.sources[slot]


cdef inline Outbox* find_outbox(Pump* pump, int64_t handle) noexcept nogil:
    cdef int slot = <int> (handle >> 1 & ((1 << SLOT_BITS) - 1))
    if not handle & OUTBOX_BIT or slot >= pump.outbox_slots:
        return NULL
    if pump.outboxes[slot] == NULL or pump.outboxes[slot].handle != handle:
        return NULL
    return pump.outboxes[slot]


cdef inline int put_asset(Pump* pump, text name, int length, bint in_arena, int64_t future_ms, int64_t max_age_ms) noexcept nogil:
    cdef Asset* asset = NULL
    cdef int i
    cdef void* grown
    for i in range(pump.asset_count):
        if pump.assets[i].name_length == length and memcmp(pump.assets[i].name, name, length) == 0:
            asset = pump.assets[i]
    if asset == NULL:
        if pump.asset_count == pump.asset_room:
            i = pump.asset_room * 2 + 8
            grown = realloc(pump.assets, i * sizeof(Asset*))
            if grown == NULL:
                return -1
            pump.assets = <Asset**> grown
            pump.asset_room = i
        asset = <Asset*> calloc(1, sizeof(Asset))
        if asset == NULL:
            return -1
        asset.id = asset.racer.id = pump.asset_count
        asset.name_length = length
        memcpy(asset.name, name, length)
        make_label(&asset.label, name, length, pump.simulated)
        pump.assets[pump.asset_count] = asset
        pump.asset_count += 1
    asset.future = to_ns(future_ms)
    asset.max_age = to_ns(max_age_ms)
    asset.racer.races = in_arena
    return asset.id


cdef inline int64_t put_source(Pump* pump, int id, int fd, int64_t full_ms, int capacity) noexcept nogil:
    cdef Asset* asset = find_asset(pump, id)
    cdef Source* source
    cdef int slot = 0
    cdef void* grown
    if asset == NULL:
        return -2
    while slot < pump.source_slots and pump.sources[slot] != NULL:
        slot += 1
    if slot == pump.source_slots:
        grown = realloc(pump.sources, (pump.source_slots * 2 + 8) * sizeof(Source*))
        if grown == NULL:
            return -1
        pump.sources = <Source**> grown
        pump.source_slots = pump.source_slots * 2 + 8
        memset(pump.sources + slot, 0, (pump.source_slots - slot) * sizeof(Source*))
    source = <Source*> calloc(1, sizeof(Source))
    if source == NULL:
        return -1
    pump.serial += 1
    source.handle = pump.serial << (SLOT_BITS + 1) | slot << 1
    source.fd = fd
    source.asset = asset
    source.full_limit = to_ns(full_ms)
    source.capacity = capacity if capacity > 0 else 65536
    source.interest = EPOLLIN | EPOLLET if capacity > 0 else EPOLLIN  # a terminal, say, does not give all it has at once
    if epoll_change(pump.epoll, EPOLL_CTL_ADD, fd, source.interest, source.handle) < 0:
        free(source)
        return -3
    pump.sources[slot] = source
    pump.source_count += 1
    asset.sources += 1
    return source.handle


cdef inline int64_t put_outbox(Pump* pump, int fd, bint lines, int64_t max_bytes, int64_t max_age_ms) noexcept nogil:
    cdef Outbox* outbox
    cdef int slot = 0, slots
    cdef void* grown
    if pump.outbox_count < pump.outbox_slots:
        slot = pump.next_slot
        while pump.outboxes[slot] != NULL:
            slot = slot + 1 if slot + 1 < pump.outbox_slots else 0
    else:
        slot = pump.outbox_slots
        slots = slot * 2 + 16
        grown = realloc(pump.outboxes, slots * sizeof(Outbox*))
        if grown == NULL:
            return -1
        pump.outboxes = <Outbox**> grown
        grown = realloc(pump.touched, slots * sizeof(Outbox*))
        if grown == NULL:
            return -1
        pump.touched = <Outbox**> grown
        memset(pump.outboxes + slot, 0, (slots - slot) * sizeof(Outbox*))
        pump.outbox_slots = slots
    outbox = <Outbox*> calloc(1, sizeof(Outbox))
    if outbox == NULL:
        return -1
    pump.serial += 1
    outbox.handle = pump.serial << (SLOT_BITS + 1) | slot << 1 | OUTBOX_BIT
    outbox.fd = fd
    outbox.lines = lines
    outbox.max_bytes = max_bytes
    outbox.max_age = to_ns(max_age_ms)
    outbox.last_asset = -1
    pump.outboxes[slot] = outbox
    pump.outbox_count += 1
    pump.next_slot = slot + 1 if slot + 1 < pump.outbox_slots else 0
    return outbox.handle
