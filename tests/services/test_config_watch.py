"""Hot reload against real files: every way of writing one is seen, and what is wrong changes nothing."""

# ruff: noqa: ASYNC240 - the files are small, local and the point of it all

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from finstream.services.bus import Bus
from finstream.services.config import load
from finstream.services.config_plan import Plan
from finstream.services.config_watch import ConfigWatch
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.events import ConfigRejected, ConfigReloaded, Event
from finstream.vocabulary.settings import Settings

ONE = "assets: {one: {command: [x]}}\n"
TWO = "assets: {one: {command: [x]}, two: {command: [y]}}\n"
THREE = "assets: {one: {command: [x]}, two: {command: [z]}, three: {command: [y]}}\n"
UNTIL_IT_WATCHES_S = 0.3
"""Nothing tells from outside when the thread that watches has begun; until then the second look finds changes."""

WRONG = "assets: {one: {comand: [x]}}\n"


class Watched:
    """A configuration watch over a real file, with an ``apply`` that takes notes."""

    def __init__(
        self, path: Path, bus: Bus, logger: Any, events: Callable[[], list[Event]], eventually: Any, **settings: float
    ) -> None:
        self.path = path
        self.applied: list[tuple[Settings, Plan]] = []
        self.hold: trio.Event | None = None
        self.began = 0
        self.watch = ConfigWatch(path, load(path), bus=bus, logger=logger, apply=self._apply, **settings)
        self._events = events
        self._eventually = eventually

    async def _apply(self, settings: Settings, plan: Plan) -> None:
        self.began += 1
        if self.hold is not None:
            await self.hold.wait()
        self.applied.append((settings, plan))

    @property
    def assets(self) -> list[str]:
        return list(self.watch.running.assets)

    async def next_event(self) -> Event:
        """The next event; that it stays alone is checked by whoever waits for the one after it."""
        (event,) = await self._eventually(self._events)
        return event  # type: ignore[no-any-return]

    def replace(self, text: str) -> None:
        """As most editors and deployment tools do it."""
        aside = self.path.with_name(".config.yaml.new")
        aside.write_text(text)
        aside.replace(self.path)


MakeWatched = Callable[..., Awaitable[Watched]]


@pytest.fixture
def make_watched(
    nursery: trio.Nursery, bus: Bus, logger: Any, events: Callable[[], list[Event]], eventually: Any
) -> MakeWatched:
    async def make(path: Path, **settings: float) -> Watched:
        watched = Watched(path, bus, logger, events, eventually, **settings)
        await nursery.start(watched.watch.run)
        return watched

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "config.yaml"
    path.write_text(ONE)
    return path


@pytest.fixture
async def watched(path: Path, make_watched: MakeWatched) -> Watched:
    return await make_watched(path)


async def test_every_one_of_many_atomic_replacements_is_seen(watched: Watched) -> None:
    three = ["one", "two", "three"]
    for text, assets in [(TWO, ["one", "two"]), (ONE, ["one"]), (THREE, three), (TWO, ["one", "two"])]:
        watched.replace(text)
        event = await watched.next_event()
        assert isinstance(event, ConfigReloaded)
        assert watched.assets == assets
    assert [plan.started for _settings, plan in watched.applied] == [["two"], [], ["two", "three"], []]
    assert [plan.stopped for _settings, plan in watched.applied] == [[], ["two"], [], ["three"]]
    assert watched.applied[3][1].restarted == ["two"]


async def test_writing_in_place_is_seen_again_and_again(watched: Watched) -> None:
    for text, assets in [(TWO, ["one", "two"]), (ONE, ["one"]), (TWO, ["one", "two"])]:
        watched.path.write_text(text)
        assert isinstance(await watched.next_event(), ConfigReloaded)
        assert watched.assets == assets


async def test_a_file_is_read_when_its_writer_has_finished(path: Path, make_watched: MakeWatched) -> None:
    watched = await make_watched(path, settle_s=0.6)
    with watched.path.open("w", buffering=1) as file:
        for line in ["assets:\n", "  one: {command: [x]}\n", "  two:\n", "    command:\n", "      - y\n"]:
            file.write(line)
            await trio.sleep(0.05)
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert watched.assets == ["one", "two"]
    assert len(watched.applied) == 1, "nothing was done about the halves in between"


async def test_an_editor_that_moves_the_old_file_away_first(watched: Watched) -> None:
    watched.path.rename(watched.path.with_suffix(".yaml~"))
    await trio.sleep(0.15)
    watched.path.write_text(TWO)
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert watched.assets == ["one", "two"]


async def test_what_is_wrong_is_told_and_changes_nothing_until_it_is_right(
    watched: Watched, log_entries: list[dict[str, Any]]
) -> None:
    before = watched.watch.running
    watched.replace(WRONG)
    event = await watched.next_event()
    assert isinstance(event, ConfigRejected)
    assert event.path == str(watched.path)
    assert "assets.one.comand: unknown key (did you mean command?)" in event.error
    assert watched.watch.running is before
    assert watched.applied == []
    (entry,) = [entry for entry in log_entries if entry["log_level"] == "error"]
    assert entry["event"] == "configuration rejected"
    assert entry["error"] == event.error
    assert entry["origin"] == "file"

    watched.replace(ONE)  # as it was
    event = await watched.next_event()
    assert isinstance(event, ConfigReloaded)
    assert (event.started, event.stopped, event.restarted) == ([], [], [])


async def test_a_file_that_is_emptied_or_gone_stops_nothing(watched: Watched) -> None:
    watched.path.write_text("")
    event = await watched.next_event()
    assert isinstance(event, ConfigRejected)
    assert "holds no settings" in event.error
    watched.path.unlink()
    event = await watched.next_event()
    assert isinstance(event, ConfigRejected)
    assert "no such file" in event.error
    assert watched.assets == ["one"]
    watched.path.write_text(TWO)
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert watched.assets == ["one", "two"]


async def test_other_files_and_unchanged_content_are_left_unheard(watched: Watched) -> None:
    (watched.path.parent / "other.yaml").write_text(TWO)
    watched.path.touch()
    watched.replace(ONE)
    await trio.sleep(0.5)
    watched.replace(TWO)
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert len(watched.applied) == 1


async def test_a_comment_is_a_reload_that_changes_nothing(watched: Watched) -> None:
    watched.replace("# a comment\n" + ONE)
    event = await watched.next_event()
    assert isinstance(event, ConfigReloaded)
    assert watched.applied[0][1] == Plan(started=[], stopped=[], restarted=[], unchanged=["one"])


@pytest.fixture
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen then was rung for."""
    monkeypatch.setattr("finstream.services.config_watch._LOOK_ANYWAY_MS", 60_000)


@pytest.mark.usefixtures("no_second_look")
async def test_a_symbolic_link_that_is_switched_over(tmp_path: Path, make_watched: MakeWatched) -> None:
    """As a container platform mounts it: config.yaml -> ..data/config.yaml, ..data -> ..version."""
    folder = tmp_path / "mounted"
    for version, text in [("1", ONE), ("2", TWO), ("3", ONE)]:
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "config.yaml").write_text(text)
    (folder / "..data").symlink_to("..1")
    (folder / "config.yaml").symlink_to("..data/config.yaml")
    watched = await make_watched(folder / "config.yaml")
    for version, assets in [("2", ["one", "two"]), ("3", ["one"])]:
        await trio.sleep(UNTIL_IT_WATCHES_S)
        (folder / "..new").symlink_to(f"..{version}")
        (folder / "..new").replace(folder / "..data")
        assert isinstance(await watched.next_event(), ConfigReloaded)
        assert watched.assets == assets


@pytest.mark.usefixtures("no_second_look")
async def test_a_link_to_a_file_elsewhere_that_is_written_in_place(
    tmp_path: Path, path: Path, make_watched: MakeWatched
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "linked.yaml"
    link.symlink_to(path)
    watched = await make_watched(link)
    await trio.sleep(UNTIL_IT_WATCHES_S)
    path.write_text(TWO)
    assert isinstance(await watched.next_event(), ConfigReloaded)


async def test_a_directory_that_is_replaced_as_a_whole(watched: Watched, tmp_path: Path) -> None:
    for text, assets in [(TWO, ["one", "two"]), (ONE, ["one"])]:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.yaml").write_text(text)
        shutil.rmtree(watched.path.parent)
        (tmp_path / "new").rename(watched.path.parent)
        event = await watched.next_event()
        assert isinstance(event, ConfigReloaded)
        assert watched.assets == assets


async def test_a_change_between_the_engines_reading_and_the_watch_is_seen(
    path: Path, nursery: trio.Nursery, bus: Bus, logger: Any, events: Callable[[], list[Event]], eventually: Any
) -> None:
    watched = Watched(path, bus, logger, events, eventually)
    path.write_text(TWO)
    await nursery.start(watched.watch.run)
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert watched.assets == ["one", "two"]


async def test_a_reload_on_command_goes_the_same_way(watched: Watched, log_entries: list[dict[str, Any]]) -> None:
    watched.replace(TWO)
    plan = await watched.watch.reload("admin 127.0.0.1")
    assert plan.started == ["two"]
    assert isinstance(await watched.next_event(), ConfigReloaded)
    (entry,) = [entry for entry in log_entries if entry["event"] == "configuration reloaded"]
    assert entry["origin"] == "admin 127.0.0.1"
    again = await watched.watch.reload("admin")
    assert again == Plan(started=[], stopped=[], restarted=[], unchanged=["one", "two"])
    assert isinstance(await watched.next_event(), ConfigReloaded)

    watched.replace(WRONG)
    with pytest.raises(ConfigError, match="did you mean command"):
        await watched.watch.reload("admin")
    assert isinstance(await watched.next_event(), ConfigRejected)
    # The watch has seen the file too, and knows that it has been dealt with.
    await trio.sleep(0.5)
    watched.replace(ONE)
    assert isinstance(await watched.next_event(), ConfigReloaded)


async def test_reloads_happen_one_after_the_other(watched: Watched, nursery: trio.Nursery) -> None:
    watched.hold = trio.Event()
    plans: list[Plan] = []

    async def reload() -> None:
        plans.append(await watched.watch.reload("admin"))

    watched.path.write_text(TWO)
    for _ in range(3):
        nursery.start_soon(reload)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert watched.began == 1
    watched.hold.set()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert sorted(len(plan.started) for plan in plans) == [0, 0, 1]


async def test_a_reload_that_has_begun_is_finished_although_its_caller_has_left(watched: Watched) -> None:
    watched.hold = trio.Event()
    watched.path.write_text(TWO)
    with trio.move_on_after(0.05) as left:
        await watched.watch.reload("admin")
    assert left.cancelled_caught
    watched.hold.set()
    assert isinstance(await watched.next_event(), ConfigReloaded)
    assert watched.assets == ["one", "two"]


async def test_the_mode_does_not_change_under_running_ingestors(watched: Watched) -> None:
    synthetic = "mode: simulation\nassets: {sim: {command: [x], origin: synthetic}}"
    watched.replace(synthetic)
    event = await watched.next_event()
    assert isinstance(event, ConfigRejected)
    assert event.error.startswith("mode: cannot change from production to simulation while the engine runs")
    assert "assets.sim.origin" in event.error
    assert "restart the engine" in event.error
    assert watched.applied == []


async def test_keys_that_need_a_restart_are_told_until_they_are_taken_back(watched: Watched) -> None:
    watched.replace("mode: simulation\nlimits: {clients: 7}\n" + TWO)
    event = await watched.next_event()
    assert isinstance(event, ConfigReloaded)
    assert event.needs_engine_restart == ["mode", "limits.clients"]
    settings, _plan = watched.applied[0]
    assert (settings.mode, settings.limits.clients) == ("production", 20_000), "what runs, and not what is written"
    assert list(settings.assets) == ["one", "two"]
    assert (await watched.watch.reload("admin")).needs_engine_restart == ["mode", "limits.clients"]
    await watched.next_event()
    watched.replace("logs: {level: debug}\n" + TWO)
    event = await watched.next_event()
    assert isinstance(event, ConfigReloaded)
    assert event.needs_engine_restart == []
    assert watched.applied[-1][1].hot == ["logs.level"]
    assert watched.watch.running.logs.level == "debug"


async def test_stopping_is_quick_and_later_reloads_are_refused(
    path: Path, bus: Bus, logger: Any, events: Any, eventually: Any
) -> None:
    watched = Watched(path, bus, logger, events, eventually)
    async with trio.open_nursery() as nursery:
        await nursery.start(watched.watch.run)
        await trio.sleep(UNTIL_IT_WATCHES_S)
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 0.5
    with pytest.raises(RequestError) as refused:
        await watched.watch.reload("admin")
    assert refused.value.problem == "wrong-state"


async def test_a_reload_under_way_when_the_engine_stops_is_answered(
    path: Path, nursery: trio.Nursery, bus: Bus, logger: Any, events: Any, eventually: Any
) -> None:
    watched = Watched(path, bus, logger, events, eventually)
    watched.hold = trio.Event()
    refused = trio.Event()

    async def reload() -> None:
        with pytest.raises(RequestError):
            await watched.watch.reload("admin")
        refused.set()

    async with trio.open_nursery() as inner:
        await inner.start(watched.watch.run)
        nursery.start_soon(reload)
        await trio.testing.wait_all_tasks_blocked(0.01)
        inner.cancel_scope.cancel()
    with trio.fail_after(1):
        await refused.wait()


async def test_what_apply_raises_ends_the_watch(
    path: Path, bus: Bus, logger: Any, events: Any, eventually: Any
) -> None:
    async def fail(_settings: Settings, _plan: Plan) -> None:
        raise ZeroDivisionError

    watch = ConfigWatch(path, load(path), bus=bus, logger=logger, apply=fail)
    path.write_text(TWO)
    with pytest.raises(ExceptionGroup) as caught:
        await watch.run()
    assert caught.group_contains(ZeroDivisionError)


async def test_without_a_directory_to_watch_it_looks_every_second(
    watched: Watched, log_entries: list[dict[str, Any]], tmp_path: Path, eventually: Any
) -> None:
    watched.path.parent.rename(tmp_path / "moved away")
    event = await watched.next_event()
    assert isinstance(event, ConfigRejected)
    await eventually(lambda: any("looking every second" in entry["event"] for entry in log_entries))
    (tmp_path / "moved away").rename(watched.path.parent)
    event = await watched.next_event()
    assert isinstance(event, ConfigReloaded)
    watched.replace(TWO)
    assert isinstance(await watched.next_event(), ConfigReloaded)
