# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What the control plane sees of the pump's state: copied under the lock, a few at a time, and made into tuples after it.

finstream/pump_snapshots.py says what the members mean. No Python object is touched while the lock is held (see _fastpath.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdlib cimport qsort

from finstream._best cimport *
from finstream._subscriptions cimport *

cdef enum:
    # Copied while the pump waits:
    SYMBOLS_AT_ONCE = 512
    ASSETS_AT_ONCE = 512
    CONTESTS_AT_ONCE = 128          # buckets of them
    ACCOUNTS_AT_ONCE = 64


cdef inline int copy_symbol(uint8_t* name, bytes symbol):
    """Its length, or -1 if it is none. ``name`` has room for MAX_SYMBOL bytes."""
    cdef int length = <int> len(symbol)
    if not is_symbol(<text> PyBytes_AS_STRING(symbol), length):
        return -1
    memcpy(name, PyBytes_AS_STRING(symbol), length)
    return length


cdef inline Symbol* find_known(Pump* pump, int id, text name, int length) noexcept nogil:
    cdef Asset* asset = find_asset(pump, id)
    return find_symbol(asset, name, length, 0) if asset != NULL and length >= 0 else NULL


cdef inline str asset_name(Pump* pump, int id):
    # Names never change, and assets are never freed.
    return pump.assets[id].name[:pump.assets[id].name_length].decode()


cdef inline tuple pace_tuple(const Pace* pace, int64_t now):
    return pace_now(pace, now), pace.usual, pace.windows


cdef inline tuple tally_tuple(const Tally* tally):
    return tally.matches, tally.wins, tally.lead, tally.lead_smoothed


cdef inline tuple lags_tuple(const Lags* lags):
    cdef int i
    if lags.since == 0:
        return 0, []
    return (
        min(lags.least, lags.least_before),
        [(upper_bound(i), <uint64_t> lags.recent[i] + lags.before[i]) for i in range(<int> BUCKETS)
         if lags.recent[i] or lags.before[i]],
    )


cdef inline tuple symbol_tuple(const Symbol* s):
    return s.name[:s.length].decode(), s.ticks, s.lag, s.smoothed, s.last, s.outbox_count


cdef inline tuple account_tuple(const Account* a):
    return (
        a.published, a.delivered, a.queued_messages, a.skipped, a.conflated, a.killed, a.queued_bytes, a.oldest, a.sent_bytes,
        None if a.last_asset < 0 else a.last_asset, None if a.last_asset < 0 else a.last_seq,
    )


cdef inline tuple copy_asset_statistics(Pump* pump, int id):
    cdef Asset* asset
    cdef Asset copy
    cdef uint64_t[<int> CHECKS] found = [0, 0, 0, 0]
    acquire(pump)
    asset = find_asset(pump, id)
    if asset != NULL:
        copy = asset[0]
        if asset.quality != NULL:
            found = asset.quality.found
    release(pump)
    if asset == NULL:
        raise KeyError(f"no asset {id}")
    return (
        copy.name[:copy.name_length].decode(), copy.seq, copy.ticks, copy.opaque, copy.heartbeats, copy.statuses, copy.lines,
        copy.bytes, copy.reads, [copy.rejected[i] for i in range(<int> REASONS)], copy.last, copy.subscribers,
        copy.symbol_count, copy.untold, [found[i] for i in range(<int> CHECKS)],
    )


cdef inline list copy_symbol_statistics(Pump* pump, int id):
    cdef Asset* asset
    cdef Symbol* copies
    cdef int i, count = 0, room
    acquire(pump)
    asset = find_asset(pump, id)
    room = asset.symbol_count if asset != NULL else 0
    release(pump)
    if asset == NULL:
        raise KeyError(f"no asset {id}")
    copies = <Symbol*> malloc((room + 1) * sizeof(Symbol))
    if copies == NULL:
        raise MemoryError
    while True:  # a few at a time, for ticks are waiting; one that moves meanwhile may be missed or come twice
        acquire(pump)
        room = min(room, asset.symbol_count)
        for i in range(count, min(count + SYMBOLS_AT_ONCE, room)):
            copies[i] = asset.symbols[i][0]
        release(pump)
        count = min(count + SYMBOLS_AT_ONCE, room)
        if count >= room:
            break
    try:
        return [symbol_tuple(&copies[i]) for i in range(room)]
    finally:
        free(copies)


cdef inline object copy_one_symbol(Pump* pump, int id, bytes symbol):
    cdef uint8_t[MAX_SYMBOL] name
    cdef int length = copy_symbol(name, symbol)
    cdef Symbol* found
    cdef Symbol copy
    acquire(pump)
    found = find_known(pump, id, name, length)
    if found != NULL:
        copy = found[0]
    release(pump)
    return None if found == NULL else symbol_tuple(&copy)


cdef inline list copy_arena_order(Pump* pump, int64_t now):
    """The ranking as of ``now`` (ns since the epoch; 0: this moment)."""
    cdef Racer* copies
    cdef int i, next = 0, count = 0, room = pump.asset_count  # assets are never freed, and only we add them
    copies = <Racer*> malloc((room + 1) * sizeof(Racer))
    if copies == NULL:
        raise MemoryError
    while next < room:  # a few at a time, for ticks are waiting
        acquire(pump)
        for i in range(next, min(next + ASSETS_AT_ONCE, room)):
            if pump.assets[i].racer.races:
                copies[count] = pump.assets[i].racer
                copies[count].heard = max(pump.assets[i].racer.last, pump.assets[i].alive)
                count += 1
        release(pump)
        next += ASSETS_AT_ONCE
    if now == 0:
        now = now_ns(CLOCK_REALTIME)
    for i in range(count):
        hold_silence_against(&copies[i], now)
    qsort(copies, count, sizeof(Racer), compare)
    try:
        return [
            (i + 1, asset_name(pump, copies[i].id), copies[i].ticks, copies[i].lag, copies[i].smoothed, copies[i].score,
             now - copies[i].last if copies[i].ticks else 0, copies[i].smoothed < 0,
             severity(copies[i].score) if copies[i].ticks else 0, *pace_tuple(&copies[i].pace, now),
             now - copies[i].heard if copies[i].heard else None)
            for i in range(count)
        ]
    finally:
        free(copies)


cdef inline list copy_new_rankings(Pump* pump, int most, int64_t now):
    """By symbol, the assets that compete for it, best first, where that is not as it was taken last; at most so many."""
    cdef Ranked* found = <Ranked*> malloc((most + 1) * sizeof(Ranked))
    cdef int count = 0, looked = 0, buckets = 1
    if found == NULL:
        raise MemoryError
    if now == 0:
        now = now_ns(CLOCK_REALTIME)
    try:
        while looked < buckets and count < most:  # a few at a time, for ticks are waiting
            acquire(pump)
            buckets = pump.contests.bucket_count
            count += take_new_rankings(&pump.contests, now, found + count, most - count, CONTESTS_AT_ONCE)
            release(pump)
            looked += CONTESTS_AT_ONCE
        return [
            (found[i].contest.name[:found[i].contest.length], [found[i].assets[j] for j in range(found[i].count)])
            for i in range(count)
        ]
    finally:
        free(found)


cdef inline tuple copy_form(Pump* pump, int id):
    """Of an asset: its tally, and the lags of its last minutes."""
    cdef Asset* asset
    cdef Lags lags
    cdef Tally tally
    acquire(pump)
    asset = find_asset(pump, id)
    if asset != NULL:
        lags = asset.lags
        tally = asset.racer.tally
    release(pump)
    if asset == NULL:
        raise KeyError(f"no asset {id}")
    return tally_tuple(&tally) + lags_tuple(&lags)


cdef inline object copy_form_on_symbol(Pump* pump, int id, bytes symbol, int64_t now):
    """The same of an asset as an entrant in a symbol's contest, with its pace and whether it leads; None if it has no rival."""
    cdef uint8_t[MAX_SYMBOL] name
    cdef int length = copy_symbol(name, symbol)
    cdef Symbol* found
    cdef Entrant* entrant = NULL
    cdef Entrant copy
    cdef bint leads = False
    acquire(pump)
    found = find_known(pump, id, name, length)
    if found != NULL:
        entrant = <Entrant*> found.entrant
    if entrant != NULL:
        copy = entrant[0]
        leads = entrant.contest.leader == entrant
    release(pump)
    if entrant == NULL:
        return None
    if now == 0:
        now = now_ns(CLOCK_REALTIME)
    return (*tally_tuple(&copy.tally), *lags_tuple(&copy.lags), *pace_tuple(&copy.pace, now), leads)


cdef inline object copy_outbox_statistics(Pump* pump, int64_t handle):
    cdef Outbox* outbox
    cdef Account account
    acquire(pump)
    outbox = find_outbox(pump, handle)
    if outbox != NULL:
        take_account(outbox, &account)
    release(pump)
    return None if outbox == NULL else account_tuple(&account)


cdef inline tuple copy_statistics(Pump* pump):
    cdef uint64_t[9] counts
    cdef uint64_t[<int> SIZES] by_lines, by_sends
    cdef int64_t[<int> STAGES] times
    cdef int i
    acquire(pump)
    counts = [
        pump.batches, pump.lines, pump.sends, pump.partial_sends, pump.source_count,
        pump.outbox_count, pump.events.dropped, pump.sampled_turns, pump.sampled_lines,
    ]
    by_lines = pump.turns_by_lines
    by_sends = pump.turns_by_sends
    times = pump.stage_time
    release(pump)
    return (
        counts[0], counts[1], counts[2], counts[3], copy_outbox_totals(pump, 0)[0][1], counts[4], counts[5], pump.connections,
        counts[6], [by_lines[i] for i in range(<int> SIZES)], [by_sends[i] for i in range(<int> SIZES)], counts[7], counts[8],
        [times[i] for i in range(<int> STAGES)],
    )


cdef inline tuple copy_outbox_totals(Pump* pump, int most):
    """The account of all outboxes together, those that are gone included; how many have something waiting; the handles of at
    most so many of these."""
    cdef Account total = pump.before  # outboxes are removed by our thread only
    cdef Account account
    cdef Outbox* outbox
    cdef int i, next = 0, end, waiting = 0
    cdef list handles = []
    cdef int64_t[<int> ACCOUNTS_AT_ONCE] found
    cdef int found_count
    total.queued_bytes = total.queued_messages = total.oldest = 0
    while next < pump.outbox_slots:  # a few at a time, for ticks are waiting
        found_count = 0
        acquire(pump)
        end = min(next + ACCOUNTS_AT_ONCE, pump.outbox_slots)
        for i in range(next, end):
            outbox = pump.outboxes[i]
            if outbox == NULL:
                continue
            take_account(outbox, &account)
            add_account(&total, &account)
            if account.queued_bytes:
                found[found_count] = outbox.handle
                found_count += 1
        release(pump)
        next = end
        waiting += found_count
        for i in range(min(found_count, most - len(handles))):
            handles.append(found[i])
    return account_tuple(&total)[:9], waiting, handles
