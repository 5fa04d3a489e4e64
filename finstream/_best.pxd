# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The topic of the best source: the ticks of whoever leads a symbol's contest, published once more.

``best`` is an asset like any other, without a source: it has its own ``seq``, and subscribers, policies and accounts are those of every
asset. A tick of it says whose it is (``"via"``), and a change of the leader is a message of its own, in order with the ticks.
"""

from finstream._leads cimport *
from finstream._publishing cimport *

cdef enum:
    SWITCH_BYTES = 512              # what a switch message may need


cdef inline bint is_taken(const Asset* asset, const Symbol* symbol) noexcept nogil:
    """Whether anybody gets what is published there; ``symbol`` may be NULL."""
    return asset.outbox_count + asset.tamed_count > 0 or (symbol != NULL and symbol.outbox_count + symbol.tamed_count > 0)


cdef inline void publish_if_best(Pump* pump, Asset* asset, Symbol* symbol, int64_t line_length, int64_t received) noexcept nogil:
    """After a racing asset's tick was published."""
    cdef Asset* best = pump.best
    cdef Symbol* own = find_symbol(best, symbol.name, symbol.length, 0)
    cdef Entrant* entrant
    cdef Contest* contest
    cdef Label* label
    cdef int why
    if not is_taken(best, own) and not pump.encode_always:
        return
    contest = find_contest(&pump.contests, symbol.name, symbol.length, symbol.hash)
    if unlikely(contest == NULL):
        return
    entrant = become_entrant(contest, asset, symbol)  # it may have had no rival so far
    if entrant == NULL:
        return
    label = label_at_best(pump, asset)
    why = judge(contest, entrant, received)
    if contest.leader != entrant and why == STAYS or label == NULL:
        return
    if own == NULL:
        own = find_symbol(best, symbol.name, symbol.length, MAX_SYMBOLS)
    if own != NULL:
        own.subscriptions += 1  # not forgotten while we work on it, should its last subscriber be lost
    # Theirs is one run, and ours are others in between.
    finish_run(pump, asset)
    begin_run(pump, best)
    if unlikely(why != STAYS):
        tell_switch(pump, contest, entrant, why)
        publish_switch(pump, contest, entrant, own, why, received)
        take_lead(contest, entrant, received)
    if is_news(contest, entrant, &pump.line, received, pump.contests.seed):
        best.ticks += 1
        best.last = received
        if own != NULL:
            own.ticks += 1
            own.lag, own.smoothed, own.last = symbol.lag, symbol.smoothed, received
        publish(pump, best, label, own, line_length, received)
    finish_run(pump, best)
    begin_run(pump, asset)
    if own != NULL:
        own.subscriptions -= 1
        if unlikely(own.subscriptions == 0 and own.ticks == 0):
            drop_symbol(best, own)


cdef inline void begin_run(Pump* pump, Asset* asset) noexcept nogil:
    asset.run_start = pump.out_length
    asset.run_start_lines = pump.out_lines_length
    asset.run_messages = 0


cdef inline Label* label_at_best(Pump* pump, Asset* asset) noexcept nogil:
    """NULL when there is no memory for it."""
    if unlikely(asset.best_label == NULL):
        asset.best_label = <Label*> calloc(1, sizeof(Label))
        if asset.best_label != NULL:
            make_label(asset.best_label, pump.best.name, pump.best.name_length, pump.simulated)
            lend_label(asset.best_label, asset.name, asset.name_length)
    return asset.best_label


cdef inline void publish_switch(
    Pump* pump, const Contest* contest, const Entrant* entrant, Symbol* own, int why, int64_t received
) noexcept nogil:
    cdef Asset* best = pump.best
    cdef uint8_t* payload
    cdef uint8_t* o
    make_room(pump, best, SWITCH_BYTES)
    if unlikely(pump.receipt.time != received):
        make_receipt(&pump.receipt, received, &best.label)
    best.seq += 1
    best.opaque += 1
    payload = pump.out + pump.out_length + 4
    o = put(payload, b'{"type":"switch"')
    o = put_long(o, best.label.asset, best.label.asset_length)
    o = put_integer(o, best.seq)
    o = put(o, b',"symbol":"')
    o = put_text(o, contest.name, contest.length)
    if contest.leader != NULL:
        o = put(o, b'","from":"')
        o = put_text(o, contest.leader.asset.name, contest.leader.asset.name_length)
    o = put(o, b'","to":"')
    o = put_text(o, entrant.asset.name, entrant.asset.name_length)
    if why == FIRST:
        o = put(o, b'","reason":"first"')
    elif why == MUTE:
        o = put(o, b'","reason":"mute"')
    elif why == LAG:
        o = put(o, b'","reason":"lag"')
    else:
        o = put(o, b'","reason":"clock"')
    o = put_long(o, pump.receipt.words, pump.receipt.length)
    o = put(o, b'}')
    pump.line.kind = OPAQUE  # it is neither merged nor held back
    hand_out(pump, best, own, o - payload)
    pump.line.kind = TICK


cdef inline void tell_switch(Pump* pump, const Contest* contest, const Entrant* entrant, int why) noexcept nogil:
    cdef Event* event = tell_text(&pump.events, SWITCHED, contest.length)
    if event == NULL:
        return
    memcpy(pump.events.text + event.text, contest.name, contest.length)
    event.asset = entrant.asset.id
    event.handle = contest.leader.asset.id if contest.leader != NULL else -1
    event.reason = why
