# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Who gets what: subscriptions begin, change and end, and messages of the control plane go to an asset's subscribers."""

from finstream._connections cimport *

cdef enum:
    OUTBOXES_AT_ONCE = 256          # looked at for a broadcast while the pump waits


cdef inline int subscribe_to(
    Pump* pump, Outbox* outbox, Asset* asset, text name, int length, int policy, bint merge_trades, int64_t interval
) noexcept nogil:
    cdef Symbol* symbol = NULL
    cdef Rules* rules
    cdef int i
    if outbox == NULL or outbox.closed or asset == NULL:
        return 0
    send_batch(pump, outbox)
    if outbox.closed:
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
            release_held(pump, outbox, rules)
            if outbox.closed:
                return 0
        if symbol != NULL:
            symbol.subscriptions += 1  # not forgotten between the former policy and the new one
        end_for_good(pump, outbox, i)
        if symbol != NULL:
            symbol.subscriptions -= 1
    if symbol == NULL:  # the symbols' own subscriptions fall silent: what waits in them comes before the whole asset's
        release_all(pump, outbox, asset)
        if outbox.closed:
            return 0
    rules = NULL
    if policy != KILL or interval:
        rules = new_rules(pump, outbox, asset, symbol, policy, merge_trades, interval)
        if rules == NULL:
            return -1
    if start_subscription(outbox, asset, symbol, rules):
        return 1
    if rules != NULL:
        unrate(pump, rules)
        free_rules(rules)
    if symbol != NULL and symbol.subscriptions == 0 and symbol.ticks == 0:
        drop_symbol(asset, symbol)
    return -1


cdef inline Rules* new_rules(
    Pump* pump, Outbox* outbox, Asset* asset, Symbol* symbol, int policy, bint merge_trades, int64_t interval
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
        rules.next_rated = pump.rated
        if pump.rated != NULL:
            pump.rated.previous_rated = rules
        pump.rated = rules
    return rules


cdef inline bint unsubscribe_from(Pump* pump, Outbox* outbox, Asset* asset, text name, int length) noexcept nogil:
    cdef Symbol* symbol = NULL
    cdef int index
    if outbox == NULL or asset == NULL:
        return False
    send_batch(pump, outbox)
    if length >= 0:
        symbol = find_symbol(asset, name, length, 0)
        if symbol == NULL:
            return False
    index = find_subscription(outbox, asset, symbol)
    if index < 0:
        return False
    if (<Subscription*> outbox.subscriptions)[index].rules != NULL:
        release_held(pump, outbox, <Rules*> (<Subscription*> outbox.subscriptions)[index].rules)
        if outbox.closed:
            return True
    end_for_good(pump, outbox, index)
    return True


cdef inline int broadcast_to(Pump* pump, Asset* asset, uint8_t* payload, int64_t length, int header, int* slot) noexcept nogil:
    """From ``slot`` on; sets it to where to go on, -1 at the end. Returns how many it reached."""
    cdef Outbox* outbox
    cdef int i, reached = 0, first = slot[0]
    slot[0] = -1
    if asset == NULL or asset.subscribers == 0:
        return 0
    for i in range(first, pump.outbox_slots):
        if i - first == OUTBOXES_AT_ONCE:
            slot[0] = i
            return reached
        outbox = pump.outboxes[i]
        if outbox == NULL or outbox.closed or not subscribes(outbox, asset):
            continue
        if outbox.lines:
            reached += push_bytes(pump, outbox, payload, length + 1, False)
        else:
            reached += push_bytes(pump, outbox, payload - header, length + header, False)
    return reached
