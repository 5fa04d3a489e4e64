# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Where several sources tell of one symbol: who tells a trade first, and who is the best of them.

Each symbol that a racing asset names has a ``Contest``, across the assets. As long as only one asset names it, that is all. With the
second one they become *entrants*: their lags on this symbol are kept, and their trades are matched. Two entrants that state the same
exchange and trade id have told the same trade, and whoever told it first has won it, by both receipts on our one clock.

The second half decides who leads: whose ticks the topic ``best:SYMBOL`` brings. It is driven by ticks alone. An entrant's tick takes
the lead from

    nobody          (first)
    a leader        (mute)      that has left, or has been silent for most of a heartbeat while others told what it did not follow
    a leader        (lag)       whose smoothed lag was greater for a heartbeat on end, by a quarter and by 20 ms
    a leader        (clock)     whose stamps lay in the future for a heartbeat on end, while the entrant's do not

A silence is judged by the last quarter of a heartbeat and counts with a grace on top, so that a leader that has failed is replaced within
one heartbeat by any that ticks twenty times in it.

What a new leader tells is passed on only if it is news: a trade that was passed on already, or is older than the last one, is not.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from finstream._arena cimport GENERATION, Lags, Pace, Tally, note_lag, note_pace, tally_win
from finstream._assets cimport Asset, Symbol, add_to
from finstream._json cimport likely, unlikely
from finstream._members cimport *
from finstream._quality cimport Known, forget_known, hash_bytes, knows, was_seen

cdef enum:
    MAX_ENTRANTS = 64               # one bit each; further assets that name a symbol are passed on, but do not compete
    SIGHTINGS = 512                 # trades of a symbol that may wait for being told again; a later one takes the place
    PASSED_ON = 1024                # trades at least that are remembered, so that none comes twice
    BEAT = 1000000000               # ns: a heartbeat
    SILENCE = 700000000             # ns after which a leader's silence is noticed,
    GRACE = 200000000               # ns that it then has to follow what another tells
    SPAN = 35                       # 2^35 ns, 34 s: within one to two of these an id means the same trade
    LAG_MARGIN = 20000000           # ns
    MATCHED = 1 << PRICE | 1 << TRADE_ID | 1 << EXCHANGE    # what a tick must have, for its trade to be matched

cdef enum Takeover:
    FIRST, MUTE, LAG, CLOCK
    STAYS = -1

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
    # Of who leads:
    Entrant* leader
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


# --- who tells a trade first ----------------------------------------------------------------------------------------------

cdef inline void compete(Contests* contests, Entrant* entrant, const Line* line, int64_t received) noexcept nogil:
    cdef Contest* contest = entrant.contest
    cdef Sighting* sighting
    cdef uint64_t identity, bit = <uint64_t> 1 << entrant.place
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


# --- who leads ------------------------------------------------------------------------------------------------------------

cdef inline int better_by(const Entrant* entrant, const Entrant* leader) noexcept nogil:
    """LAG or CLOCK if the entrant is the better one by far enough, else STAYS."""
    cdef int64_t lag = entrant.symbol.smoothed, leaders = leader.symbol.smoothed
    if lag < 0:
        return STAYS
    if leaders < 0:
        return CLOCK
    return LAG if leaders - lag > LAG_MARGIN and leaders - lag > lag // 4 else STAYS


cdef inline bint has_left(const Entrant* entrant) noexcept nogil:
    return not entrant.asset.racer.races or entrant.asset.sources == 0


cdef inline int judge(Contest* contest, Entrant* entrant, int64_t now) noexcept nogil:
    """After an entrant's tick: why it takes the lead from now on, or STAYS."""
    cdef Entrant* leader = contest.leader
    cdef int i, better
    if leader == NULL:
        return FIRST
    if likely(leader == entrant):
        contest.unfollowed = 0
        for i in range(contest.count if contest.ahead else 0):
            if contest.entrants[i].better_since and better_by(contest.entrants[i], leader) == STAYS:
                fall_back(contest, contest.entrants[i])
        return STAYS
    if has_left(leader):
        return MUTE
    # Where there is rarely anything to tell, a silence means nothing until another has told something.
    if now - leader.symbol.last <= SILENCE:
        contest.unfollowed = 0
    elif contest.unfollowed == 0 or now < contest.unfollowed:
        contest.unfollowed = now
    elif now - contest.unfollowed >= GRACE:
        return MUTE
    better = better_by(entrant, leader)
    if better == STAYS:
        fall_back(contest, entrant)
    elif entrant.better_since == 0 or now < entrant.better_since:
        contest.ahead += entrant.better_since == 0
        entrant.better_since = now
    elif now - entrant.better_since >= BEAT:
        return better
    return STAYS


cdef inline void fall_back(Contest* contest, Entrant* entrant) noexcept nogil:
    contest.ahead -= entrant.better_since != 0
    entrant.better_since = 0


cdef inline void take_lead(Contest* contest, Entrant* entrant) noexcept nogil:
    cdef int i
    contest.leader = entrant
    contest.unfollowed = 0
    contest.switches += 1
    for i in range(contest.count if contest.ahead else 0):
        contest.entrants[i].better_since = 0
    contest.ahead = 0


cdef inline bint is_news(Contest* contest, const Entrant* entrant, const Line* line, int64_t now, uint64_t seed) noexcept nogil:
    """Whether the leader's tick is to be passed on; if so, it is remembered."""
    cdef int64_t time = line.time if line.time < now else now  # a stamp in the future says nothing of the order
    cdef uint64_t identity
    if not line.present & (1 << PRICE):
        if time < contest.newest_quote <= now:
            return False
        contest.newest_quote = time
        return True
    if time < contest.newest_trade <= now:
        return False
    identity = identity_across(entrant, line, seed)
    if identity == 0:
        if time == contest.newest_trade and contest.last_from != entrant:
            return False  # for all we know it is the same
    elif was_passed_on(contest, identity, time):
        return False
    contest.newest_trade = time
    contest.last_from = entrant
    return True


cdef inline bint was_passed_on(Contest* contest, uint64_t identity, int64_t time) noexcept nogil:
    """Two sources may stamp one trade with different times, and one source two trades with the same id, if its ids begin anew with each
    day or with each run of a program: an id is known for its span of time, and in the next one."""
    cdef uint64_t span = <uint64_t> (time >> SPAN)
    if was_seen(&contest.passed_on, identity ^ span * <uint64_t> 0x9e3779b97f4a7c15 | 1):
        return True
    return knows(&contest.passed_on, identity ^ (span - 1) * <uint64_t> 0x9e3779b97f4a7c15 | 1)


cdef inline uint64_t identity_across(const Entrant* entrant, const Line* line, uint64_t seed) noexcept nogil:
    """The same for the same trade, whoever tells it. 0: it has none."""
    cdef uint64_t h
    if line.present & (1 << TRADE_ID):
        h = hash_bytes(seed, line.trade_id.start, line.trade_id.length)
    elif line.present & (1 << EVENT_ID):
        h = hash_bytes(~seed, line.event_id.start, line.event_id.length)
    else:
        return 0
    if line.present & (1 << EXCHANGE):
        return hash_bytes(h, line.exchange.start, line.exchange.length) | 1
    return hash_bytes(h, entrant.asset.name, entrant.asset.name_length) | 1
