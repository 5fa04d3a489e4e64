# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Where several sources tell of one symbol: who tells a trade first.

Each symbol that a racing asset names has a ``Contest``, across the assets. As long as only one asset names it, that is all. With the
second one they become *entrants*: their lags on this symbol are kept, and their trades are matched. Two entrants that state the same
exchange and trade id have told the same trade, and whoever told it first has won it, by both receipts on our one clock. _leads.pxd
decides which of them is the best.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from finstream._arena cimport GENERATION, Lags, Pace, Tally, note_lag, note_pace, tally_win, tells_lag
from finstream._assets cimport Asset, Symbol, add_to
from finstream._json cimport likely, unlikely
from finstream._members cimport *
from finstream._identities cimport Known, forget_known, hash_bytes

cdef enum:
    MAX_ENTRANTS = 64               # one bit each; further assets that name a symbol are passed on, but do not compete
    SIGHTINGS = 512                 # trades of a symbol that may wait for being told again; a later one takes the place
    PASSED_ON = 1024                # trades at least that are remembered, so that none comes twice
    MATCHED = 1 << PRICE | 1 << TRADE_ID | 1 << EXCHANGE    # what a tick must have, for its trade to be matched

cdef struct Sighting:
    uint64_t identity               # of a trade; 0: none
    uint64_t seen                   # one bit for each entrant that has told it
    int64_t time                    # ns: receipt of the first
    int first                       # its place

cdef struct Entrant:
    # One asset's part in the contest for one symbol. Never freed while the pump lives.
    Contest* contest
    Asset* asset
    Symbol* symbol
    int place
    Tally tally
    Pace pace
    Lags lags
    bint dated                      # its lags are those of ticks with a time of their venue's
    int64_t better_since            # ns: since when it has been better than the leader; 0: it is not

cdef struct Contest:
    Contest* next                   # in its bucket
    uint32_t hash
    int length
    Asset* first_asset              # who named the symbol first,
    Symbol* first_symbol            # until there is a second one
    Entrant** entrants
    int count
    int room
    Sighting* sightings             # NULL: no trade could be matched yet
    uint64_t shown                  # the ranking that was told last, as a hash
    # Of who leads:
    Entrant* leader
    int64_t switches_until          # ns: the time that the switches so far take up, each so much
    int ahead                       # entrants that are better than the leader just now
    int64_t unfollowed              # ns: when another first ticked while the leader was silent; 0: none has
    int64_t newest_trade            # ns: the latest stamp that was passed on, as far as it did not lie in the future
    int64_t newest_quote
    const Entrant* last_from        # whose the last trade was
    Known passed_on
    uint64_t switches
    uint8_t[MAX_SYMBOL] name

cdef struct Contests:
    Contest** buckets
    int bucket_count
    int count
    int looked_at                   # the bucket where the next look at the rankings begins
    uint64_t seed


cdef inline Contest* find_contest(Contests* contests, const uint8_t* name, int length, uint32_t hash) noexcept nogil:
    cdef Contest* contest
    if contests.bucket_count == 0:
        return NULL
    contest = contests.buckets[hash & <uint32_t> (contests.bucket_count - 1)]
    while contest != NULL and not (contest.hash == hash and contest.length == length and memcmp(contest.name, name, length) == 0):
        contest = contest.next
    return contest


cdef inline Contest* put_contest(Contests* contests, Symbol* symbol) noexcept nogil:
    """The contest for a symbol, a new one if there is none; NULL without memory."""
    cdef Contest* contest = find_contest(contests, symbol.name, symbol.length, symbol.hash)
    if contest != NULL:
        return contest
    if contests.count >= contests.bucket_count and not grow_contests(contests):
        return NULL
    contest = <Contest*> calloc(1, sizeof(Contest))
    if contest == NULL:
        return NULL
    contest.hash = symbol.hash
    contest.length = symbol.length
    contest.passed_on.window = PASSED_ON
    memcpy(contest.name, symbol.name, symbol.length)
    contest.next = contests.buckets[contest.hash & <uint32_t> (contests.bucket_count - 1)]
    contests.buckets[contest.hash & <uint32_t> (contests.bucket_count - 1)] = contest
    contests.count += 1
    return contest


cdef inline bint grow_contests(Contests* contests) noexcept nogil:
    cdef int count = 2 * contests.bucket_count if contests.bucket_count else 64, i
    cdef Contest** buckets = <Contest**> calloc(<size_t> count, sizeof(Contest*))
    cdef Contest* contest
    cdef Contest* next
    if buckets == NULL:
        return False
    for i in range(contests.bucket_count):
        contest = contests.buckets[i]
        while contest != NULL:
            next = contest.next
            contest.next = buckets[contest.hash & <uint32_t> (count - 1)]
            buckets[contest.hash & <uint32_t> (count - 1)] = contest
            contest = next
    free(contests.buckets)
    contests.buckets = buckets
    contests.bucket_count = count
    return True


cdef inline void free_contests(Contests* contests) noexcept nogil:
    cdef Contest* contest
    cdef Contest* next
    cdef int i, j
    for i in range(contests.bucket_count):
        contest = contests.buckets[i]
        while contest != NULL:
            next = contest.next
            for j in range(contest.count):
                free(contest.entrants[j])
            free(contest.entrants)
            free(contest.sightings)
            forget_known(&contest.passed_on)
            free(contest)
            contest = next
    free(contests.buckets)


cdef inline void forget_trades(Contests* contests) noexcept nogil:
    """For measurements: as if none had been told yet."""
    cdef Contest* contest
    cdef int i
    for i in range(contests.bucket_count):
        contest = contests.buckets[i]
        while contest != NULL:
            contest.newest_trade = contest.newest_quote = 0
            forget_known(&contest.passed_on)
            if contest.sightings != NULL:
                memset(contest.sightings, 0, SIGHTINGS * sizeof(Sighting))
            contest = contest.next


cdef inline void enter(Contests* contests, Asset* asset, Symbol* symbol) noexcept nogil:
    """A racing asset ticks a symbol for the first time."""
    cdef Contest* contest = put_contest(contests, symbol)
    if contest == NULL:
        return  # tried again with the next tick
    symbol.entered = True
    if contest.count == 0 and contest.first_asset == NULL:
        contest.first_asset = asset
        contest.first_symbol = symbol
        return
    if contest.count == 0 and contest.first_asset != asset:
        become_entrant(contest, contest.first_asset, contest.first_symbol)
    become_entrant(contest, asset, symbol)


cdef inline Entrant* become_entrant(Contest* contest, Asset* asset, Symbol* symbol) noexcept nogil:
    """NULL when there are too many, or no memory."""
    cdef Entrant* entrant
    if symbol.entrant != NULL:
        return <Entrant*> symbol.entrant
    if contest.count == MAX_ENTRANTS:
        return NULL
    entrant = <Entrant*> calloc(1, sizeof(Entrant))
    if entrant == NULL:
        return NULL
    if not add_to(<void***> &contest.entrants, &contest.count, &contest.room, entrant):
        free(entrant)
        return NULL
    entrant.contest = contest
    entrant.asset = asset
    entrant.symbol = symbol
    entrant.place = contest.count - 1
    symbol.entrant = entrant
    return entrant


cdef inline void compete(Contests* contests, Entrant* entrant, const Line* line, int64_t received, bint dated) noexcept nogil:
    cdef Contest* contest = entrant.contest
    cdef Sighting* sighting
    cdef uint64_t identity, bit = <uint64_t> 1 << entrant.place
    if likely(tells_lag(&entrant.dated, &entrant.lags, dated)):
        note_lag(&entrant.lags, received - line.time, received)
    note_pace(&entrant.pace, received)
    if line.present & MATCHED != MATCHED or contest.count < 2:
        return
    if unlikely(contest.sightings == NULL):
        contest.sightings = <Sighting*> calloc(SIGHTINGS, sizeof(Sighting))
        if contest.sightings == NULL:
            return
    identity = hash_bytes(contests.seed, line.trade_id.start, line.trade_id.length)
    identity = hash_bytes(identity, line.exchange.start, line.exchange.length) | 1
    sighting = &contest.sightings[identity >> 32 & (SIGHTINGS - 1)]
    # Ids may begin anew with each day, or with each run of a program: after a minute it is another trade.
    if sighting.identity != identity or received - sighting.time > GENERATION:
        sighting.identity = identity
        sighting.seen = bit
        sighting.time = received
        sighting.first = entrant.place
    elif not sighting.seen & bit:
        note_match(contest, sighting, entrant, received)
        sighting.seen |= bit


cdef inline void note_match(Contest* contest, const Sighting* sighting, Entrant* entrant, int64_t received) noexcept nogil:
    """A trade is told again, by another. It counts once for whoever was first, by the lead over the second."""
    cdef Entrant* first = contest.entrants[sighting.first]
    cdef int64_t lead = received - sighting.time if received > sighting.time else 0
    entrant.tally.matches += 1
    entrant.asset.racer.tally.matches += 1
    if sighting.seen == <uint64_t> 1 << first.place:
        tally_win(&first.tally, lead)
        tally_win(&first.asset.racer.tally, lead)
