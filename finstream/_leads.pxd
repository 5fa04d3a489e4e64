# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Who is the best at a symbol: the ranking of its entrants, and who of them leads.

The leader is whose ticks the topic ``best:SYMBOL`` brings. It is decided by ticks alone. An entrant's tick takes the lead from

    nobody          (first)
    a leader        (mute)      that has left, or has been silent for most of a heartbeat while others told what it did not follow
    a leader        (lag)       whose smoothed lag was greater for a heartbeat on end, by a quarter and by 20 ms
    a leader        (clock)     whose stamps lay in the future for a heartbeat on end, while the entrant's do not

One that left is replaced at once. Where that happens again and again there is one switch in the time of a silence: sources that
come and go, however fast, make no flood of switches, and are still replaced within a heartbeat. A silence is noticed within a
heartbeat, early enough that a leader that has failed is replaced within it by any that ticks twenty times in it. Where there is
rarely anything to tell, a silence means nothing until another has told something.

What a new leader tells is passed on only if it is news: a trade that was passed on already, or is older than the last one, is not.
"""

from libc.stdint cimport int64_t, uint64_t
from finstream._arena cimport PATIENCE
from finstream._contests cimport *
from finstream._json cimport likely, unlikely
from finstream._members cimport *
from finstream._identities cimport hash_bytes, knows, was_seen

cdef enum:
    BEAT = 1000000000               # ns: a heartbeat
    SILENCE = 700000000             # ns after which a leader's silence is noticed,
    GRACE = 200000000               # ns that it then has to follow what another tells
    MOST_SWITCHES = 6300000000      # ns: nine switches may come at once, the first one included; further ones take a SILENCE each
    LAG_MARGIN = 20000000           # ns
    SPAN = 35                       # 2^35 ns, 34 s: within one to two of these an id means the same trade

cdef enum Takeover:
    FIRST, MUTE, LAG, CLOCK
    STAYS = -1

cdef struct Ranked:
    # A ranking as it is told; the name is the contest's, whose contests are never freed while the pump lives.
    const Contest* contest
    int count
    int[MAX_ENTRANTS] assets        # their ids, the best first


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
    if unlikely(has_left(leader)):
        return MUTE if may_switch(contest, now) else STAYS
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


cdef inline bint may_switch(const Contest* contest, int64_t now) noexcept nogil:
    """Whether there were not too many switches lately; or the clock was set back since."""
    return not MOST_SWITCHES - SILENCE < contest.switches_until - now <= MOST_SWITCHES


cdef inline void take_lead(Contest* contest, Entrant* entrant, int64_t now) noexcept nogil:
    cdef int i
    if not now < contest.switches_until <= now + MOST_SWITCHES:
        contest.switches_until = now
    contest.switches_until += SILENCE
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


cdef inline int rank_entrants(const Contest* contest, int64_t now, Entrant** order) noexcept nogil:
    """Those that race and have ticked, the best first; ``order`` has room for all. By the rules of the overall ranking."""
    cdef Entrant* entrant
    cdef int i, j, count = 0
    for i in range(contest.count):
        entrant = contest.entrants[i]
        if not entrant.asset.racer.races or entrant.symbol.ticks == 0:
            continue
        j = count
        while j > 0 and ranks_before(entrant, order[j - 1], now):
            order[j] = order[j - 1]
            j -= 1
        order[j] = entrant
        count += 1
    return count


cdef inline bint ranks_before(const Entrant* one, const Entrant* other, int64_t now) noexcept nogil:
    cdef int64_t score = score_of(one, now), others = score_of(other, now)
    if (one.symbol.smoothed < 0) != (other.symbol.smoothed < 0):
        return other.symbol.smoothed < 0
    return score < others if score != others else one.asset.id < other.asset.id


cdef inline int64_t score_of(const Entrant* entrant, int64_t now) noexcept nogil:
    cdef int64_t silent = now - entrant.symbol.last
    return entrant.symbol.smoothed + (silent - PATIENCE if silent > PATIENCE else 0)


cdef inline int take_new_rankings(Contests* contests, int64_t now, Ranked* found, int most, int buckets) noexcept nogil:
    """Those that are not as they were taken last, at most ``most``; looks at so many buckets, from where it left off."""
    cdef Contest* contest
    cdef int count = 0
    while buckets > 0 and contests.bucket_count:
        if contests.looked_at >= contests.bucket_count:
            contests.looked_at = 0
        contest = contests.buckets[contests.looked_at]
        while contest != NULL:
            if contest.count > 1 and count == most:
                return count  # the rest of this bucket comes next time
            if contest.count > 1:
                count += take_if_new(contest, now, &found[count])
            contest = contest.next
        contests.looked_at += 1
        buckets -= 1
    return count


cdef inline bint take_if_new(Contest* contest, int64_t now, Ranked* ranked) noexcept nogil:
    cdef Entrant* order[MAX_ENTRANTS]
    cdef uint64_t shown = 0
    cdef int i
    ranked.count = rank_entrants(contest, now, order)
    for i in range(ranked.count):
        ranked.assets[i] = order[i].asset.id
        shown = (shown ^ <uint64_t> (order[i].asset.id + 1)) * <uint64_t> 0x9e3779b97f4a7c15
    if shown == contest.shown:
        return False
    contest.shown = shown
    ranked.contest = contest
    return True
