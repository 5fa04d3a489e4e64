import time

import msgspec
import pytest

from bench import lines
from bench.systems import all_systems
from bench.systems.base import ParsingSystem

MAKERS = {
    "short": (lines.short_lines, 40, 70),
    "typical": (lines.typical_lines, 130, 160),
    "long": (lines.long_lines, 600, 900),
}
PARSERS = [s for s in all_systems().values() if isinstance(s, ParsingSystem) and s.missing() is None]
STRICT = [system for system in PARSERS if system.name != "floor"]  # it reads one shape of line, and those below have others


@pytest.mark.parametrize("kind", MAKERS)
def test_lines_have_the_length_they_promise_and_differ(kind: str) -> None:
    make, least, most = MAKERS[kind]
    made = make().split(b"\n")
    assert made.pop() == b""
    assert len(made) == lines.LINES
    assert least <= sum(map(len, made)) / len(made) <= most
    assert len(set(made)) > lines.LINES * 0.99
    for line in made[:50]:
        msgspec.json.decode(line)


@pytest.mark.parametrize(
    ("system", "kind"),
    [pytest.param(system, kind, id=f"{system.name}-{kind}") for system in PARSERS for kind in MAKERS if kind in system.shapes],
)
def test_every_parser_accepts_all_of_them(system: ParsingSystem, kind: str) -> None:
    took, ticks = system.parse(MAKERS[kind][0](), 2)
    assert ticks == 2 * lines.LINES
    assert took > 0


def test_half_of_the_hostile_lines_are_refused() -> None:
    engine = all_systems()["finstream"]
    assert isinstance(engine, ParsingSystem)
    assert engine.parse(lines.hostile_lines(), 1)[1] == lines.LINES // 2


@pytest.mark.parametrize("system", STRICT, ids=lambda system: system.name)
@pytest.mark.parametrize(
    "line",
    [
        '{"symbol":"A","price":"x","ts":NOW}',
        '{"symbol":"A","price":0,"ts":NOW}',
        '{"symbol":"A","price":1,"volume":-1,"ts":NOW}',
        '{"symbol":"","price":1,"ts":NOW}',
        '{"symbol":"A","ts":NOW}',
        '{"symbol":"A","price":1,"side":"up","ts":NOW}',
        '{"symbol":"A","price":1}',
        '{"symbol":"A","price":1,"ts":NOW',
    ],
)
def test_no_parser_accepts_what_it_should_refuse(system: ParsingSystem, line: str) -> None:
    text = line.replace("NOW", str(time.time_ns()))
    good = f'{{"symbol":"A","price":1,"ts":{time.time_ns()}}}'
    assert system.parse(f"{text}\n{good}\n".encode(), 1)[1] == 1


@pytest.mark.parametrize("assets", [10, 1000, 10_000])
def test_symbols_are_spread_over_assets_without_becoming_more(assets: int) -> None:
    symbols = [msgspec.json.decode(line)["symbol"] for line in lines.symbol_lines().splitlines()]
    held = {(turn % assets, symbols[turn % lines.SYMBOLS]) for turn in range(2 * lines.SYMBOLS)}  # two passes, as they are measured
    assert len(held) == len(set(symbols)) == lines.SYMBOLS
    assert len({asset for asset, _ in held}) == assets
