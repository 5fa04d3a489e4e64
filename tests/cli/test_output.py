from __future__ import annotations

import pytest
from rich.text import Text

from finstream.cli.failures import Problem, Refused, report
from finstream.cli.messages import Message, message_line, read_message
from finstream.cli.output import count, duration, microseconds, printable, say, table, terminal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0 µs"), (87, "87 µs"), (-87, "-87 µs"), (999, "999 µs"), (4210, "4.21 ms"),
        (84_600, "84.6 ms"), (1_500_000, "1.5 s"), (61_000_000, "61 s"), (120_000_000, "2 min"),
        (-9_000_000_000, "-2.5 h"), (315_532_800_000_000, "3652 d"),
    ],
)  # fmt: skip
def test_time_spans_have_the_unit_that_suits_them(value: float | None, text: str) -> None:
    assert microseconds(value) == text


def test_durations_in_seconds() -> None:
    assert [duration(0.02), duration(1), duration(90), duration(7200)] == ["20 ms", "1 s", "90 s", "2 h"]


def test_counts() -> None:
    assert [count(0, "line"), count(1, "line"), count(1024, "line")] == ["0 lines", "1 line", "1,024 lines"]


EVIL = "\x1b]0;pwn\x07\u202e\u2066\x9b2J\r\n\u2028"
SHOWN = r"\x1b]0;pwn\x07\u202e\u2066\x9b2J\r\n\u2028"


def test_what_steers_a_terminal_is_shown_escaped() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("\x00\x1b\x7f\x85\u200f\ufeff\ud800") == r"\x00\x1b\x7f\x85\u200f\ufeff\ud800"
    assert printable("µ–Zürich 東京\u00a0🙂 [bold]\\") == "µ–Zürich 東京\u00a0🙂 [bold]\\"


def test_every_way_to_write_for_people_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"said {EVIL}", fg="red")
    say(f"noted {EVIL}", err=True)
    report(Refused(Problem(title=f"title {EVIL}", detail=f"detail {EVIL}")), as_json=False)
    terminal().print(table(["asset"], [[f"cell {EVIL} [red]"]]))
    told = capsys.readouterr()
    assert f"said {SHOWN}\n" in told.out
    assert f"cell {SHOWN} [red]\n" in told.out
    for way in ("noted", "title", "detail"):
        assert f"{way} {SHOWN}\n" in told.err.replace("detail: ", "", 1)


def test_a_rich_text_keeps_its_lines_and_loses_what_steers(capsys: pytest.CaptureFixture[str]) -> None:
    terminal().print(Text("one \x1b[2J\ntwo \u202e"))
    assert capsys.readouterr().out == "one \\x1b[2J\ntwo \\u202e\n"


@pytest.mark.parametrize("colour", [False, True])
def test_a_message_of_an_ingestor_is_one_line_that_steers_nothing(colour: bool) -> None:
    tick = Message(type="tick", asset="a", symbol=f"S{EVIL}", price="1", side=EVIL, ts_event=0, ts_recv=1)
    other = Message(type=f"news{EVIL}", asset="a", seq=1)
    assert f"S{SHOWN}" in message_line(tick, colour=colour)
    assert f"news{SHOWN}" in message_line(other, colour=colour)
    assert printable(message_line(tick)) == message_line(tick)


def test_lines_of_the_best_source() -> None:
    tick = read_message('{"type":"tick","asset":"best","seq":2,"symbol":"A","via":"kraken","price":"1","ts_event":0,"ts_recv":0}')
    assert message_line(tick).split()[1:5] == ["best", "A", "kraken", "1"]
    switch = '{"type":"switch","asset":"best","seq":3,"symbol":"A","from":"kraken","to":"okx","reason":"mute","ts_recv":0}'
    assert message_line(read_message(switch)).split(maxsplit=3)[3] == "switch kraken → okx (mute)"
    first = '{"type":"switch","asset":"best","seq":1,"symbol":"A","to":"kraken","reason":"first","ts_recv":0}'
    assert message_line(read_message(first)).endswith("switch kraken (first)")
