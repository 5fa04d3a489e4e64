# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""From a readable pipe to messages in the outboxes: the way of a tick.

    read_source → take_lines → take_line → read_line (_ticks) → observe (_arena) → publish (_publishing) → put_message (_frames)
        → finish_run → flush
"""

from finstream._best cimport *
from finstream._ticks cimport read_line

cdef enum:
    RESTS_KEPT = 16384              # bytes of memory for an unfinished line, kept for the next
    READ_BYTES = 1 << 17            # one read of a source
    SAMPLE_BYTES = 1024             # kept of a line that is too long
    BLOCK = 4096                    # what stdio buffers are multiples of
    BLOCK_READS = 8                 # so many in a row, cut in mid-line, are no accident
    BLOCK_PERIOD = 100000000        # ns; faster than that, buffering costs no latency worth a word


cdef inline void read_source(Pump* pump, int64_t handle, uint32_t events) noexcept nogil:
    """Read once; what is still in the pipe comes with the next batch, so that no source keeps the others waiting.

    A pipe is told of once each time more comes (edge-triggered): asking again whether it is empty after every tick would be
    the dearest thing done for a tick but for the read and the send. It says all it has in one read; where that filled our
    buffer, or its writer has closed it, it is asked again.
    """
    cdef Source* source = find_source(pump, handle)
    cdef ssize_t n
    cdef int error
    cdef int64_t received
    cdef uint8_t* start
    if source == NULL or source.ended:
        return
    if source.rest_length:
        memcpy(pump.buffer, source.rest, source.rest_length)
    start = pump.buffer + source.rest_length
    end_lap(pump, TENDING)
    n = read(source.fd, start, READ_BYTES)
    end_lap(pump, READING)
    error = errno if n < 0 else 0
    if error == EAGAIN:
        return
    if unlikely(source.interest & EPOLLET and (n < 0 or n == READ_BYTES or events & (EPOLLHUP | EPOLLERR))):
        epoll_change(pump.epoll, EPOLL_CTL_MOD, source.fd, source.interest, source.handle)
    if error == EINTR:
        return
    received = now_ns(CLOCK_REALTIME)
    if n <= 0:
        # A pty whose other side is gone says EIO.
        end_source(pump, source, error if error != EIO else 0, received)
        return
    source.asset.reads += 1
    source.asset.bytes += n
    if unlikely(n % BLOCK == 0 or source.block_reads):
        notice_blocks(pump, source, n, start[n - 1] != 0x0a)
    if unlikely(n >= source.capacity // 2 or n == READ_BYTES):
        notice_pressure(pump, source, n)
    else:
        source.full_since = 0
    take_lines(pump, source, start + n, received)
    end_lap(pump, TAKING)


cdef inline void look_after_sources(Pump* pump) noexcept nogil:
    """A pipe in packet mode (O_DIRECT) gives one packet a read, however much there is: ask for the next."""
    cdef Source* source
    cdef int i
    for i in range(pump.source_slots):
        source = pump.sources[i]
        if source != NULL and not source.ended and source.interest & EPOLLET and waiting_bytes(source.fd):
            epoll_change(pump.epoll, EPOLL_CTL_MOD, source.fd, source.interest, source.handle)


cdef inline void take_lines(Pump* pump, Source* source, uint8_t* end, int64_t received) noexcept nogil:
    cdef uint8_t* p = pump.buffer
    cdef uint8_t* line_feed
    cdef Asset* asset = source.asset
    cdef int left
    cdef void* grown
    asset.run_start = pump.out_length
    asset.run_start_lines = pump.out_lines_length
    asset.run_messages = 0
    if source.skipping:
        line_feed = <uint8_t*> memchr(p, 0x0a, end - p)
        if line_feed == NULL:
            return
        source.skipping = False
        p = line_feed + 1
    end[0] = 0x0a  # whatever stood there: nothing is read beyond it
    while True:
        line_feed = take_next_line(pump, asset, p, end, received)
        if line_feed == NULL:
            break
        p = line_feed + 1
    finish_run(pump, asset)
    left = <int> (end - p)
    source.rest_length = 0
    if unlikely(left == 0 and source.rest_room > RESTS_KEPT):
        free(source.rest)
        source.rest = NULL
        source.rest_room = 0
    if left > pump.max_line:
        refuse(pump, asset, LINE_TOO_LONG, p, left, received)
        source.skipping = True
        return
    if left:
        if left > source.rest_room:
            grown = realloc(source.rest, left * 2)
            if grown == NULL:
                refuse(pump, asset, LINE_TOO_LONG, p, left, received)
                source.skipping = True
                return
            source.rest = <uint8_t*> grown
            source.rest_room = left * 2
        memcpy(source.rest, p, left)
        source.rest_length = left


cdef inline uint8_t* take_next_line(Pump* pump, Asset* asset, uint8_t* p, uint8_t* end, int64_t received) noexcept nogil:
    """The line that begins at ``p``; returns its line feed. NULL, and nothing is done, if there is none before ``end``, where there is
    another one in any case."""
    cdef uint8_t* line_feed
    expect_tick(&asset.lags)
    line_feed = <uint8_t*> read_by_shape(
        &pump.parser, &pump.shapes, &pump.line, p, end, received, asset.future, asset.max_age)
    if likely(line_feed != NULL and line_feed < end and line_feed - p <= pump.max_line):
        take_tick(pump, asset, p, line_feed - p, received)
        return line_feed
    line_feed = <uint8_t*> memchr(p, 0x0a, end - p)
    if line_feed == NULL:
        return NULL
    if unlikely(line_feed - p > pump.max_line):
        refuse(pump, asset, LINE_TOO_LONG, p, line_feed - p, received)
    else:
        take_line(pump, asset, p, line_feed, received)
    return line_feed


cdef inline void take_tick(Pump* pump, Asset* asset, const uint8_t* p, int64_t length, int64_t received) noexcept nogil:
    cdef int64_t lag = received - pump.line.time
    cdef Symbol* symbol = find_symbol(asset, pump.line.symbol.start, pump.line.symbol.length, MAX_SYMBOLS)
    cdef bint dated = not is_stamped_by_ingestor(&pump.line, pump.parser.members)
    cdef int dropped
    pump.lines += 1
    asset.lines += 1
    asset.last = received
    pump.line.suspect = False
    if asset.quality != NULL:
        dropped = examine(asset.quality, &symbol.watch if symbol != NULL else NULL, &pump.line)
        if unlikely(dropped >= 0):
            refuse(pump, asset, DUPLICATE + dropped, p, length, received)
            return
    asset.ticks += 1
    observe(&asset.racer, &asset.lags, lag, received, dated)
    if unlikely(symbol == NULL):
        publish(pump, asset, &asset.label, NULL, length, received)
        return
    if likely(dated >= symbol.dated):
        symbol.smoothed = smooth(symbol.smoothed, lag) if symbol.ticks and dated == symbol.dated else lag
        symbol.dated = dated
        symbol.lag = lag
    symbol.ticks += 1
    symbol.last = received
    publish(pump, asset, &asset.label, symbol, length, received)
    if asset.racer.races:
        if unlikely(not symbol.entered):
            enter(&pump.contests, asset, symbol)
        if symbol.entrant != NULL:
            compete(&pump.contests, <Entrant*> symbol.entrant, &pump.line, received, dated)
        if unlikely(pump.best != NULL and pump.best.subscribers):
            publish_if_best(pump, asset, symbol, length, received)


cdef inline void take_line(Pump* pump, Asset* asset, uint8_t* p, uint8_t* end, int64_t received) noexcept nogil:
    """A line that looks like no earlier tick."""
    cdef int kind = read_line(&pump.parser, &pump.line, p, end, received, asset.future, asset.max_age)
    cdef Symbol* symbol
    if kind == IGNORED:
        return
    if kind == TICK:
        learn_shape(&pump.shapes, &pump.line, pump.parser.members, p, end)
        take_tick(pump, asset, p, end - p, received)
        return
    pump.lines += 1
    asset.lines += 1
    asset.last = received
    if kind == REJECTED:
        refuse(pump, asset, pump.line.reason, p, end - p, received)
    elif kind == OPAQUE:
        asset.opaque += 1
        asset.alive = received
        pump.line.suspect = False
        symbol = NULL
        if pump.line.present & (1 << SYMBOL):
            symbol = find_symbol(asset, pump.line.symbol.start, pump.line.symbol.length, 0)
        if symbol != NULL:
            symbol.subscriptions += 1  # not forgotten while we work on it, should its last subscriber be lost
        publish(pump, asset, &asset.label, symbol, end - p, received)
        if symbol != NULL:
            symbol.subscriptions -= 1
    elif kind == STATUS:
        asset.statuses += 1
        if not (take_token(&asset.status_lines, received, STATUS_BURST, STATUSES_PER_SECOND)
                and tell_line(&pump.events, STATUS_LINE, asset.id, 0, p, end - p, end - p, received)):
            asset.untold += 1
    else:
        asset.heartbeats += 1
        asset.alive = received


cdef inline void end_source(Pump* pump, Source* source, int error, int64_t received) noexcept nogil:
    cdef Event* event
    source.ended = True
    source.asset.sources -= 1
    epoll_change(pump.epoll, EPOLL_CTL_DEL, source.fd, 0, 0)
    if source.rest_length:
        refuse(pump, source.asset, UNTERMINATED_LINE, source.rest, source.rest_length, received)
        source.rest_length = 0
    event = tell(&pump.events, SOURCE_ENDED)
    if event != NULL:
        event.handle = source.handle
        event.asset = source.asset.id
        event.error = error


cdef inline void notice_blocks(Pump* pump, Source* source, ssize_t n, bint cut) noexcept nogil:
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
        event = tell(&pump.events, BLOCK_BUFFERED)
        if event != NULL:
            event.handle = source.handle
            event.asset = source.asset.id
            event.number = n


cdef inline void notice_pressure(Pump* pump, Source* source, ssize_t n) noexcept nogil:
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
        event = tell(&pump.events, SOURCE_OVERFLOWED)
        if event != NULL:
            event.handle = source.handle
            event.asset = source.asset.id


cdef inline void refuse(Pump* pump, Asset* asset, int reason, const uint8_t* p, int64_t length, int64_t received) noexcept nogil:
    asset.rejected[reason] += 1
    if reason == LINE_TOO_LONG:
        pump.lines += 1
        asset.lines += 1
        asset.last = received
    elif reason == UNTERMINATED_LINE:
        pump.lines += 1
        asset.lines += 1
    if not (take_token(&asset.rejections, received, LINE_BURST, LINES_PER_SECOND)
            and tell_line(
                &pump.events, LINE_REJECTED, asset.id, reason, p,
                SAMPLE_BYTES if reason == LINE_TOO_LONG and length > SAMPLE_BYTES else length, length, received)):
        asset.untold += 1
