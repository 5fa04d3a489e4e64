# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Assets, their symbols, and who subscribes them.

An asset lives as long as the pump, so that its ``seq`` goes on when its ingestor comes back; so do the symbols it named. A subscription is
kept on both sides: the outbox lists its subscriptions, the asset or symbol lists the outboxes it goes to. An outbox that takes
the whole asset is not listed with the asset's symbols, else it would get their messages twice.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy
from finstream._arena cimport Lags, Racer
from finstream._events cimport Bucket
from finstream._frames cimport Label
from finstream._json cimport likely, text, unlikely, REASONS
from finstream._outboxes cimport Outbox
from finstream._quality cimport Quality, Watch, free_quality
from finstream._scans cimport first_bytes
from finstream._members cimport MAX_SYMBOL

cdef enum:
    MAX_SYMBOLS = 65536             # that an asset's ticks may name; further ones are passed on, but not counted

# What every tick touches stands first and together: with thousands of assets each line of memory is a miss of the cache.

cdef struct Symbol:
    # Two lines of the cache long up to the first bytes of the name, which nearly always are all of it.
    Symbol* next                    # in its bucket
    uint32_t hash
    int length
    uint64_t ticks
    void* entrant                   # its Entrant in the contest for this symbol; NULL: it has no rival
    int64_t lag
    int64_t smoothed
    int64_t last
    int outbox_count
    int tamed_count
    Watch watch
    bint entered                    # it is known to that contest
    bint dated                      # its lag is that of ticks with a time of their venue's
    uint8_t[MAX_SYMBOL] name
    Outbox** outboxes               # that take this symbol and not the whole asset
    void** tamed                    # the same for subscriptions with a policy: their Rules
    int outbox_room
    int tamed_room
    int subscriptions               # of it, those hidden behind the whole asset included
    int place                       # in its asset's list

cdef struct Asset:
    int64_t future                  # ns; negative: unbounded
    int64_t max_age
    Quality* quality                # NULL: every tick that is well formed is believed
    uint64_t seq
    uint64_t ticks
    uint64_t lines
    int64_t last
    Racer racer
    Symbol** buckets
    int bucket_count
    int outbox_count
    int tamed_count
    int line_outboxes               # with any topic of it and framing by lines
    # The messages of this batch that are not handed to the whole-asset outboxes yet:
    int64_t run_start
    int64_t run_start_lines
    uint64_t run_messages
    Outbox** outboxes               # that take the whole asset
    void** tamed                    # the same for subscriptions with a policy: their Rules
    Label label
    uint64_t bytes
    uint64_t reads
    # Touched less often:
    int id
    int outbox_room
    int tamed_room
    int subscribers                 # outboxes with any topic of it
    int sources                     # that have not ended
    Symbol** symbols                # in the order of their first appearance; as much room as there are buckets
    int symbol_count
    int64_t alive                   # ns: receipt of the last line that is no tick and says something, or that it is alive
    uint64_t opaque
    uint64_t heartbeats
    uint64_t statuses
    Bucket rejections               # that may be told
    Bucket status_lines
    uint64_t untold                 # lines of both kinds that were only counted
    uint64_t[REASONS] rejected
    uint8_t[MAX_SYMBOL + 1] name
    int name_length
    Lags lags                       # of its ticks
    Label* best_label               # of its ticks as those of the best source; NULL: never needed

cdef struct Subscription:
    Asset* asset
    Symbol* symbol                  # NULL: the whole asset
    bint active                     # False: hidden behind a subscription of the whole asset
    void* rules                     # of its policy; NULL: it has none


cdef inline bint add_to(void*** list, int* count, int* room, void* item) noexcept nogil:
    cdef void* grown
    if count[0] == room[0]:
        grown = realloc(list[0], (room[0] * 2 + 4) * sizeof(void*))
        if grown == NULL:
            return False
        list[0] = <void**> grown
        room[0] = room[0] * 2 + 4
    list[0][count[0]] = item
    count[0] += 1
    return True


cdef inline void remove_from(void** list, int* count, void* item) noexcept nogil:
    cdef int i
    for i in range(count[0]):
        if list[i] == item:
            count[0] -= 1
            list[i] = list[count[0]]
            return


cdef inline uint32_t hash_symbol(text p, int length) noexcept nogil:
    cdef uint64_t[2] words
    cdef uint64_t hash = <uint64_t> length
    while True:
        first_bytes(words, p, length)
        hash = words[0] * <uint64_t> 0x9e3779b97f4a7c15 + words[1] * <uint64_t> 0xc2b2ae3d27d4eb4f + (hash ^ hash >> 32)
        if likely(length <= 16):
            return <uint32_t> (hash >> 32)
        p += 16
        length -= 16


cdef inline bint is_named(const Symbol* symbol, text name, int length) noexcept nogil:
    cdef uint64_t[2] words, own
    if symbol.length != length:
        return False
    if unlikely(length > 16):
        return memcmp(symbol.name, name, length) == 0
    first_bytes(words, name, length)
    memcpy(own, symbol.name, 16)
    return ((own[0] ^ words[0]) | (own[1] ^ words[1])) == 0


cdef inline Symbol* find_symbol(Asset* asset, text name, int length, int most) noexcept nogil:
    """The symbol of this name; a new one if there is none yet and the asset has fewer than ``most``; else NULL.

    ``name`` is read in blocks of 16 bytes."""
    cdef uint32_t hash = hash_symbol(name, length)
    cdef Symbol* symbol
    if likely(asset.bucket_count):
        symbol = asset.buckets[hash & <uint32_t> (asset.bucket_count - 1)]
        while symbol != NULL:
            if likely(symbol.hash == hash and is_named(symbol, name, length)):
                return symbol
            symbol = symbol.next
    if asset.symbol_count >= most:
        return NULL
    if asset.symbol_count >= asset.bucket_count and not grow_symbols(asset):
        return NULL
    symbol = <Symbol*> calloc(1, sizeof(Symbol))
    if symbol == NULL:
        return NULL
    symbol.hash = hash
    symbol.length = length
    memcpy(symbol.name, name, length)
    symbol.next = asset.buckets[hash & <uint32_t> (asset.bucket_count - 1)]
    asset.buckets[hash & <uint32_t> (asset.bucket_count - 1)] = symbol
    asset.symbols[asset.symbol_count] = symbol
    symbol.place = asset.symbol_count
    asset.symbol_count += 1
    return symbol


cdef inline void free_symbol(Symbol* symbol) noexcept nogil:
    free(symbol.outboxes)
    free(symbol.tamed)
    free(symbol)


cdef inline void drop_symbol(Asset* asset, Symbol* symbol) noexcept nogil:
    """Forget a symbol that no tick ever named and nobody subscribes any more: anybody may subscribe to any nonsense."""
    cdef Symbol** link = &asset.buckets[symbol.hash & <uint32_t> (asset.bucket_count - 1)]
    while link[0] != symbol:
        link = &link[0].next
    link[0] = symbol.next
    asset.symbol_count -= 1
    asset.symbols[symbol.place] = asset.symbols[asset.symbol_count]
    asset.symbols[symbol.place].place = symbol.place
    free_symbol(symbol)


cdef inline bint grow_symbols(Asset* asset) noexcept nogil:
    cdef int i
    cdef size_t count = <size_t> asset.bucket_count * 2 if asset.bucket_count > 0 else 16
    cdef Symbol** buckets
    cdef Symbol** symbols = <Symbol**> realloc(asset.symbols, count * sizeof(Symbol*))
    cdef Symbol* symbol
    if symbols == NULL:
        return False
    asset.symbols = symbols
    buckets = <Symbol**> calloc(count, sizeof(Symbol*))
    if buckets == NULL:
        return False
    for i in range(asset.symbol_count):
        symbol = symbols[i]
        symbol.next = buckets[symbol.hash & <uint32_t> (count - 1)]
        buckets[symbol.hash & <uint32_t> (count - 1)] = symbol
    free(asset.buckets)
    asset.buckets = buckets
    asset.bucket_count = <int> count
    return True


cdef inline bint subscribes(Outbox* outbox, Asset* asset) noexcept nogil:
    """Whether it has any topic of the asset."""
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef int i
    for i in range(outbox.subscription_count):
        if list[i].asset == asset:
            return True
    return False


cdef inline int find_subscription(Outbox* outbox, Asset* asset, Symbol* symbol) noexcept nogil:
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef int i
    for i in range(outbox.subscription_count):
        if list[i].asset == asset and list[i].symbol == symbol:
            return i
    return -1


cdef inline bint activate(Outbox* outbox, Subscription* subscription) noexcept nogil:
    cdef Asset* asset = subscription.asset
    cdef Symbol* symbol = subscription.symbol
    cdef void* rules = subscription.rules
    if symbol == NULL and rules == NULL:
        subscription.active = add_to(<void***> &asset.outboxes, &asset.outbox_count, &asset.outbox_room, outbox)
    elif symbol == NULL:
        subscription.active = add_to(&asset.tamed, &asset.tamed_count, &asset.tamed_room, rules)
    elif rules == NULL:
        subscription.active = add_to(<void***> &symbol.outboxes, &symbol.outbox_count, &symbol.outbox_room, outbox)
    else:
        subscription.active = add_to(&symbol.tamed, &symbol.tamed_count, &symbol.tamed_room, rules)
    return subscription.active


cdef inline void deactivate(Outbox* outbox, Subscription* subscription) noexcept nogil:
    cdef Asset* asset = subscription.asset
    cdef Symbol* symbol = subscription.symbol
    if not subscription.active:
        return
    subscription.active = False
    if symbol == NULL and subscription.rules == NULL:
        remove_from(<void**> asset.outboxes, &asset.outbox_count, outbox)
    elif symbol == NULL:
        remove_from(asset.tamed, &asset.tamed_count, subscription.rules)
    elif subscription.rules == NULL:
        remove_from(<void**> symbol.outboxes, &symbol.outbox_count, outbox)
    else:
        remove_from(symbol.tamed, &symbol.tamed_count, subscription.rules)


cdef inline bint start_subscription(Outbox* outbox, Asset* asset, Symbol* symbol, void* rules) noexcept nogil:
    cdef Subscription* list
    cdef bint hidden
    cdef int i
    cdef void* grown
    if outbox.subscription_count == outbox.subscription_room:
        grown = realloc(outbox.subscriptions, (outbox.subscription_room * 2 + 1) * sizeof(Subscription))
        if grown == NULL:
            return False
        outbox.subscriptions = grown
        outbox.subscription_room = outbox.subscription_room * 2 + 1
    list = <Subscription*> outbox.subscriptions
    hidden = symbol != NULL and find_subscription(outbox, asset, NULL) >= 0
    i = outbox.subscription_count
    list[i].asset = asset
    list[i].symbol = symbol
    list[i].rules = rules
    list[i].active = False
    if not hidden and not activate(outbox, &list[i]):
        return False
    asset.subscribers += not subscribes(outbox, asset)
    outbox.subscription_count += 1
    asset.line_outboxes += outbox.lines
    if symbol != NULL:
        symbol.subscriptions += 1
    if symbol == NULL:  # from now on the whole asset's run brings the symbols, too
        for i in range(outbox.subscription_count):
            if list[i].asset == asset and list[i].symbol != NULL:
                deactivate(outbox, &list[i])
    return True


cdef inline void end_subscription(Outbox* outbox, int index) noexcept nogil:
    cdef Subscription* list = <Subscription*> outbox.subscriptions
    cdef Asset* asset = list[index].asset
    cdef Symbol* symbol = list[index].symbol
    cdef int i
    deactivate(outbox, &list[index])
    if symbol != NULL:
        symbol.subscriptions -= 1
        if symbol.subscriptions == 0 and symbol.ticks == 0:
            drop_symbol(asset, symbol)
    asset.line_outboxes -= outbox.lines
    outbox.subscription_count -= 1
    list[index] = list[outbox.subscription_count]
    asset.subscribers -= not subscribes(outbox, asset)
    if symbol == NULL:
        for i in range(outbox.subscription_count):
            if list[i].asset == asset:
                activate(outbox, &list[i])


cdef inline Quality* take_quality(Asset* asset, Quality* quality) noexcept nogil:
    """Let an asset's ticks be checked in this way from now on; what was counted, and a window of the same size, go on. Returns what
    is no longer used."""
    cdef Quality* former = asset.quality
    if former != NULL:
        quality.found = former.found
        if former.known.window == quality.known.window:
            quality.known, quality.seed = former.known, former.seed
            former.known.buckets = NULL
    asset.quality = quality
    return former
