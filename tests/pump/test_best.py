"""The topic of the best source: who leads, why that changes, and that nothing comes twice or out of order."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
import strategies
from course import MS, START, Course, S, course, told
from rig import Rig, balanced, until

from finstream.pump import Pump, Switched

BEAT, SILENCE, GRACE = S, 7 * S // 10, S // 5


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """What a reader sees: who tells which trade, and who took the lead from whom."""
    return [
        f"{message.get('from', '')}>{message['to']} {message['reason']}"
        if message["type"] == "switch"
        else f"{message['via']} {message.get('trade_id', 'quote')}"
        for message in messages
    ]


def test_the_first_source_leads_and_its_ticks_come_once_more() -> None:
    with course("binance", "kraken", simulated=True) as race:
        subscriber = race.subscribe("BTC/USDT")
        race.take("binance", 0, lag=MS, symbol="BTC/USDT", price="1", trade_id="t", exchange="x", note=[1, {}])
        race.take("kraken", 1, symbol="BTC/USDT", price="2")
        race.take("binance", 2, symbol="ETH/USDT", price="3")
        race.take("binance", 3, symbol="BTC/USDT", bid="4")
        common = {"asset": "best", "symbol": "BTC/USDT"}
        assert told(subscriber) == [
            {"type": "switch", "seq": 1, "to": "binance", "reason": "first", "ts_recv": START // 1000, "simulated": True, **common},
            {
                "type": "tick", "seq": 2, "exchange": "x", "price": "1", "trade_id": "t", "ts_event": (START - MS) // 1000,
                "ts_recv": START // 1000, "simulated": True, "via": "binance", "note": [1, {}], **common,
            },
            {
                "type": "tick", "seq": 3, "exchange": "binance", "bid_price": "4", "ts_event": START // 1000,
                "ts_recv": START // 1000, "simulated": True, "via": "binance", **common,
            },
        ]  # fmt: skip
        statistics = race.pump.asset_statistics(race.best)
        assert (statistics.seq, statistics.ticks, statistics.opaque, statistics.subscribers) == (3, 2, 1, 1)
        assert race.form("binance", "BTC/USDT").leads
        assert not race.form("kraken", "BTC/USDT").leads


def test_a_source_without_a_rival_leads_too_and_nobody_pays_for_what_nobody_takes() -> None:
    with course("only") as race:
        race.take("only", 0)
        subscriber = race.subscribe("B")
        race.take("only", 1)
        race.trade("only", 2, 1, symbol="B")
        assert kinds(told(subscriber)) == [">only first", "only 1"]
        assert race.pump.form_on_symbol(race.pump.asset_handle("only") or 0, "A") is None
        assert race.pump.asset_statistics(race.best).seq == 2


def test_all_symbols_at_once_beside_the_sources_themselves() -> None:
    """Each topic gets its own, whole and in order, also within one batch."""
    with course("a", "b") as race:
        everything, whole = race.subscribe(None), race.subscribe("never")
        assert race.pump.subscribe(whole.handle, race.pump.asset_handle("a") or 0)
        lines = b"".join(b'{"symbol":"%d","price":%d,"ts":%d}\n' % (n % 3, n + 1, START // MS) for n in range(900))
        race.pump._native.take(race.pump.asset_handle("a") or 0, lines, START)
        got = told(everything)
        assert [message["seq"] for message in got] == list(range(1, 904))
        assert [message["price"] for message in got if message["type"] == "tick"] == [str(n + 1) for n in range(900)]
        assert [message["price"] for message in told(whole)] == [str(n + 1) for n in range(900)]
        assert all(balanced(subscriber.statistics) for subscriber in (everything, whole))


def test_a_leader_that_falls_silent_is_replaced_within_a_heartbeat() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for at in range(50, 500, 50):
            race.trade("a", at * MS, at)
            race.trade("b", (at + 1) * MS, at)
        assert kinds(told(subscriber))[:2] == [">a first", "a 50"]
        for at in range(500, 2000, 50):
            race.trade("b", (at + 1) * MS, at)
        messages = told(subscriber)
        assert kinds(messages)[0] == "a>b mute"
        assert messages[0]["ts_recv"] * 1000 - (START + 450 * MS) <= BEAT
        assert [message["trade_id"] for message in messages[1:]] == [str(at) for at in range(1350, 2000, 50)]
        race.trade("a", 2000 * MS, 2000)
        assert told(subscriber) == [], "the lead is not given back"


def test_one_that_left_is_replaced_at_once() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        race.trade("a", 0, 1)
        race.trade("b", 1 * MS, 1)
        race.leave("a")
        race.trade("b", 2 * MS, 2)
        assert kinds(told(subscriber)) == [">a first", "a 1", "a>b mute", "b 2"]


def test_sources_that_come_and_go_make_no_flood_of_switches() -> None:
    """They do so every 10 ms; and yet a leader that has left is replaced within a heartbeat, and at once if that is rare."""
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for round_at in (0, 60 * S):
            switches = []
            for number, at in enumerate(range(round_at, round_at + 10 * S, 10 * MS), 1):
                here, gone = ("a", "b") if number % 2 else ("b", "a")
                race.leave(gone)
                race.trade(here, at, number)
                race.enter(gone)
                switches += [message for message in told(subscriber) if message["type"] == "switch"]
            times = [message["ts_recv"] * 1000 - START - round_at for message in switches]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert all(gap == 10 * MS for gap in gaps[:8])
            assert all(abs(gap - SILENCE) <= 10 * MS for gap in gaps[9:])
            assert len(switches) == 23


def test_rare_ticks_are_no_silence() -> None:
    """Once in ten seconds all tell the same; whoever leads follows in time."""
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for number in range(1, 20):
            first, second = ("a", "b") if number % 2 else ("b", "a")
            race.trade(first, number * 10 * S, number)
            race.trade(second, number * 10 * S + 200 * MS, number, lag=200 * MS)
        assert kinds(told(subscriber)) == [">a first", *(f"a {number}" for number in range(1, 20))]


def lead_with(race: Course, lag_a: int, lag_b: int, *, start: int = 0, for_: int) -> None:
    """Both tick every 10 ms with these lags."""
    for at in range(start, start + for_, 10 * MS):
        race.take("a", at, lag=lag_a)
        race.take("b", at + 1, lag=lag_b)


def test_quotes_that_their_ingestor_has_stamped_make_nobody_the_quicker_one() -> None:
    """``a`` is 100 ms late, ``b`` 10 ms; but the quotes of ``a`` have no time of the venue's, and tell of nothing but our pipe."""
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for at in range(0, 2000, 20):
            for early in range(4):
                race.take("a", at * MS + early, bid="1", quote_time="local")
            race.take("a", at * MS + 5, lag=100 * MS, bid="1", quote_time="envelope")
            race.take("b", at * MS + 6, lag=10 * MS)
        assert [kind for kind in kinds(told(subscriber)) if ">" in kind] == [">a first", "a>b lag"]
        lags = race.form("a").lags
        assert (lags.least_ns, lags.buckets) == (100 * MS, [(100_663_296, 100)]), "of those only that tell of a lag"


@pytest.mark.parametrize(
    ("lag_a", "lag_b", "reason"),
    [
        (100 * MS, 10 * MS, "lag"),
        (25 * MS, 10 * MS, None),  # less than 20 ms
        (110 * MS, 89 * MS, None),  # less than a quarter
        (3 * S, 2 * S, "lag"),
        (10 * MS, 100 * MS, None),
        (-5 * MS, 100 * MS, "clock"),
        (-5 * MS, -9 * MS, None),
        (100 * MS, -1 * MS, None),
    ],
)
def test_a_worse_leader_is_replaced_after_a_heartbeat(lag_a: int, lag_b: int, reason: str | None) -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        lead_with(race, lag_a, lag_b, for_=S)
        assert [message for message in told(subscriber) if message["type"] == "switch"][1:] == []
        lead_with(race, lag_a, lag_b, start=S, for_=S)
        switches = [message for message in told(subscriber) if message["type"] == "switch"]
        assert kinds(switches) == ([] if reason is None else [f"a>b {reason}"])


def test_a_short_lag_does_not_cost_the_lead() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for number in range(5):
            lead_with(race, 200 * MS, 10 * MS, start=number * 3 * S, for_=S // 2)
            lead_with(race, 10 * MS, 10 * MS, start=number * 3 * S + S // 2, for_=S * 5 // 2)
        assert [kind for kind in kinds(told(subscriber)) if ">" in kind] == [">a first"]


def test_what_a_new_leader_tells_anew_is_left_out() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        race.trade("a", 0, 1)
        race.trade("a", 100 * MS, 2)
        race.leave("a")
        race.trade("b", 200 * MS, 1, lag=200 * MS)  # delivered, and older
        race.trade("b", 210 * MS, 2, lag=110 * MS)  # delivered
        race.trade("b", 220 * MS, 90, lag=150 * MS)  # never delivered, but older
        race.trade("b", 230 * MS, 2, exchange="elsewhere")  # of the same number, but another
        race.take("b", 240 * MS, price="3", lag=10 * MS)  # no identity, but newer
        race.take("b", 250 * MS, price="3", lag=20 * MS)  # of the same time: it says so itself
        race.take("b", 260 * MS, bid="1", lag=10 * MS)
        race.take("b", 270 * MS, bid="2", lag=30 * MS)  # an older quote
        assert kinds(told(subscriber)) == [
            ">a first", "a 1", "a 2", "a>b mute", "b 2", "b quote", "b quote", "b quote",
        ]  # fmt: skip


def test_an_id_may_come_again_when_a_program_counts_anew() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        for number in (1, 2):
            race.trade("a", number * MS, number)
        race.trade("a", 15 * S, 1)  # whose stamp may have been another at another source
        race.trade("a", 90 * S, 1)
        race.trade("a", 90 * S + MS, 2)
        race.trade("a", 90 * S + 2 * MS, 2)
        assert kinds(told(subscriber)) == [">a first", "a 1", "a 2", "a 1", "a 2"]


def test_trades_without_identity_at_the_same_time_come_from_one_source_only() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        race.take("a", 0, price="1")
        race.take("a", 0, price="2")
        race.leave("a")
        race.take("b", 5 * MS, lag=5 * MS, price="2")
        race.take("b", 6 * MS, lag=5 * MS, price="3")
        assert [message["price"] for message in told(subscriber) if message["type"] == "tick"] == ["1", "2", "3"]


def test_a_stamp_in_the_future_does_not_stop_the_stream() -> None:
    with course("a", "b") as race:
        subscriber = race.subscribe()
        race.trade("a", 0, 1, lag=-3600 * S)
        race.leave("a")
        race.trade("b", 10 * MS, 2, lag=5 * MS)
        assert kinds(told(subscriber))[-1] == "b 2"


async def test_switches_are_told_to_the_control_plane(rig: Rig) -> None:
    switched: list[Switched] = []
    rig.pump.on_switch(switched.append)
    best = rig.pump.add_best("best")
    rig.subscriber((best, None))
    feeds = [rig.feed("a"), rig.feed("b")]
    for feed in feeds:
        await feed.write_and_wait(b'{"symbol":"BTC/USDT","bid":1,"ts":1}\n')
    await feeds[0].end()
    await feeds[1].write_and_wait(b'{"symbol":"BTC/USDT","bid":1,"ts":2}\n')
    await until(lambda: len(switched) == 2)
    a, b = (feed.asset for feed in feeds)
    assert switched == [Switched("BTC/USDT", -1, a, "first"), Switched("BTC/USDT", a, b, "mute")]


class Flapping:
    """Sources that fail and come back at random, in every way at once; what the leader's silence allows is reckoned here anew."""

    def __init__(self, race: Course, chance: random.Random, names: str) -> None:
        self.race = race
        self.chance = chance
        self.names = names
        self.up = dict.fromkeys(names, True)
        self.lag = {name: chance.randrange(1, 80) * MS for name in names}
        self.waiting: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
        self.subscriber = race.subscribe()
        self.messages: list[dict[str, Any]] = []
        self.leader: str | None = None
        self.last = dict.fromkeys(names, 0)
        self.unfollowed: int | None = None

    def step(self, at: int, number: int) -> None:
        """A trade happens; whoever has something to tell by now, tells."""
        for name in self.names:
            if self.chance.random() < 0.01:
                self.up[name] = not self.up[name]
                self.waiting[name] = self.waiting[name][-20:]  # what it tells late when it is back
            if self.chance.random() < 0.01:
                self.lag[name] = self.chance.choice([1, 5, 20, 60, 300, 1500, 4000]) * MS
            self.waiting[name].append((at, number))
        for name in self.chance.sample(self.names, len(self.names)):
            while self.up[name] and self.waiting[name] and self.waiting[name][0][0] + self.lag[name] <= at:
                stamp, told_number = self.waiting[name].pop(0)
                if self.chance.random() < 0.03:
                    continue  # it never tells this one
                for _ in range(2 if self.chance.random() < 0.05 else 1):
                    self.tell(name, at, stamp, told_number)
                if self.chance.random() < 0.05:
                    self.waiting[name].insert(0, (stamp - 30 * MS, max(1, told_number - 1)))

    def tell(self, name: str, at: int, stamp: int, number: int) -> None:
        if self.leader not in (None, name) and self.unfollowed is None and at - self.last.get(self.leader or "", 0) > SILENCE:
            self.unfollowed = at
        self.race.trade(name, at, number, lag=at - stamp)
        self.last[name] = at
        for message in told(self.subscriber):
            self.messages.append(message)
            if message["type"] == "switch":
                assert message.get("from") == self.leader
                assert message["to"] == name
                self.leader, self.unfollowed = name, None
        if name == self.leader:
            self.unfollowed = None
        assert self.leader is not None
        assert self.unfollowed is None or at - self.unfollowed < GRACE, "a failed leader still leads"


@pytest.mark.parametrize("seed", strategies.seeds(40))
def test_however_sources_flap_no_trade_comes_twice_or_out_of_order(seed: int) -> None:
    chance = random.Random(seed)
    with course("a", "b", "c") as race:
        flapping = Flapping(race, chance, "abc")
        at, number = 10 * S, 0
        for _ in range(1500):
            at += chance.choice([1, 5, 20, 50, 100]) * MS
            number += 1
            flapping.step(at, number)
        messages = flapping.messages
        numbers = [int(message["trade_id"]) for message in messages if message["type"] == "tick"]
        switches = [message for message in messages if message["type"] == "switch"]
        assert numbers == sorted(set(numbers))
        assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
        assert len(switches) > 5, "else nothing has been tried"
        assert len(numbers) > number / 3, "else silence would pass this test"
        vias = [message.get("via") for message in messages]
        leaders = [message["to"] for message in switches]
        assert {via for via in vias if via} <= set(leaders)
        assert balanced(flapping.subscriber.statistics)


@pytest.mark.parametrize("seed", strategies.seeds(20))
def test_a_leader_that_fails_at_any_moment_is_replaced_within_a_heartbeat(seed: int) -> None:
    """As long as somebody else ticks twenty times in it. The lead is given back to nobody."""
    chance = random.Random(seed)
    with course("a", "b", "c") as race:
        subscriber = race.subscribe()
        due = {name: chance.randrange(50) * MS for name in "abc"}
        last = dict.fromkeys("abc", 0)
        leader, failed_at, failures, number = "", None, 0, 0
        while failures < 15:
            name = min(due, key=lambda name: due[name])
            at = due[name]
            due[name] += chance.randrange(5, 50) * MS
            if failed_at is None and leader and chance.random() < 0.01:
                failed_at = at
            if failed_at is not None and name == leader:
                continue
            number += 1
            race.trade(name, at, number)
            last[name] = at
            switches = [message for message in told(subscriber) if message["type"] == "switch"]
            if leader and switches:
                [switch] = switches
                assert failed_at is not None, "nothing was the matter"
                assert (switch["from"], switch["reason"]) == (leader, "mute")
                assert at - last[leader] <= BEAT
                failed_at, failures = None, failures + 1
            leader = switches[0]["to"] if switches else leader
            assert failed_at is None or at - last[leader] <= BEAT, "it still leads"


def test_the_name_is_taken_by_nobody_else() -> None:
    pump = Pump()
    assert pump.add_best("best") == pump.asset_handle("best")
    assert pump.arena() == [], "it does not race itself"
