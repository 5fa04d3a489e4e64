"""The life of a child as a table.

Rules:

1. A child is in exactly one state. Every change goes through :meth:`Lifecycle.enter`, which knows what may follow what;
   anything else is a bug of ours and raises.
2. Only ``starting``, ``running`` and ``stopping`` have (or are about to have) a process. In every other state there is
   none left, not even a grandchild.
3. ``backoff`` and ``tripped`` are waited out whether anybody wants the child or not: otherwise a subscriber that comes
   and goes would start a crashing child as fast as it likes.

              wanted                    exit 0 -> done             \\
    idle ---------------> starting      exit 78 -> misconfigured     > from running
     ^                       |          else -> backoff or tripped  /
     |                       v
     +---- stopping <---- running       stopping ends in idle, paused, starting (again), backoff or tripped
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from finstream.vocabulary.reasons import STOPS

__all__ = [
    "COMMANDS", "FAULTS", "HARD_STOPS", "HOLDS", "LOG_LEVELS", "REASONS", "STATES", "TRANSITIONS", "IllegalTransitionError",
    "Lifecycle", "State",
]

State = Literal["idle", "starting", "running", "stopping", "backoff", "paused", "done", "misconfigured", "tripped"]

STATES: dict[State, str] = {
    "idle": "nobody wants it",
    "starting": "its process is being started",
    "running": "its process runs",
    "stopping": "its process has been asked to leave",
    "backoff": "it failed and is started again at next_attempt_us",
    "paused": "an operator paused it, and only an operator starts it again; or it is held, for one of HOLDS",
    "done": "it finished; it is started again when somebody newly wants it",
    "misconfigured": "it cannot work as configured; started again by a change of its configuration or by an operator",
    "tripped": "it failed too often in a row; one attempt is made at next_attempt_us",
}

TRANSITIONS: dict[State, frozenset[State]] = {
    "idle": frozenset({"starting", "paused", "idle"}),  # the last when it leaves the configuration
    "starting": frozenset({"running", "stopping", "backoff", "misconfigured", "tripped"}),
    "running": frozenset({"stopping", "done", "misconfigured", "backoff", "tripped"}),
    "stopping": frozenset({"idle", "starting", "paused", "backoff", "tripped"}),
    "backoff": frozenset({"starting", "idle", "paused"}),
    "paused": frozenset({"starting", "idle", "paused"}),  # the last when one reason takes over from another
    "done": frozenset({"starting", "idle", "paused"}),
    "misconfigured": frozenset({"starting", "idle", "paused"}),
    "tripped": frozenset({"starting", "idle", "paused"}),
}

COMMANDS: dict[str, frozenset[State]] = {
    "pause": frozenset(STATES) - {"paused"},
    "start": frozenset({"paused", "done", "misconfigured", "tripped"}),
    "restart": frozenset({"starting", "running", "backoff", "done", "misconfigured", "tripped"}),
}
"""In which states an operator's command is possible."""

REASONS: dict[str, str] = {
    "Configured": "it came with the configuration",
    "Wanted": "somebody wants it, or start is always",
    "StartRequested": "an operator started it",
    "Retry": "the pause after a failure is over",
    "Started": "its process was started",
    "Finished": "it ended with exit code 0",
    "WrongConfiguration": "it ended with exit code 78: it says that its configuration is wrong",
    "CannotStart": "its command cannot be executed",
    "StartFailed": "the system could not start a process just now",
    "Crashed": "it ended by itself, with another exit code than 0 or 78, or by a signal",
    "MemoryRelieved": "it had paused because memory was short",
    "MarketOpened": "it had paused because its market was closed",
    "CrashLoop": "it failed circuit_failures times within circuit_window_s, or on the one attempt after that",
    **STOPS,
}
"""Why a state was entered."""


HOLDS = {"MemoryPressure": "MemoryRelieved", "MarketClosed": "MarketOpened"}
"""Why a child may be held, paused without an operator, and the reason with which it goes on by itself."""

FAULTS = frozenset({"BackpressureOverflow", "SlowSink", "StdoutClosed", "StdinClosed"})
"""Stops that are the child's own fault: it comes back by the restart policy."""

HARD_STOPS = frozenset({"BackpressureOverflow", "SlowSink"})
"""A child that does not keep up is not asked to leave: it would not hear it in time."""

LOG_LEVELS: dict[State, str] = {"backoff": "warning", "tripped": "error", "misconfigured": "error"}
"""How loudly a state is logged, unless at info."""


class IllegalTransitionError(RuntimeError):
    """A bug in the supervisor, never a child's fault."""


class Lifecycle:
    """The present state of one child.

    ``changed(previous)`` is called after each change, on the spot; it must neither block nor raise.
    """

    def __init__(self, wall_us: Callable[[], int], changed: Callable[[State], None]) -> None:
        self.state: State = "idle"
        self.reason = "Configured"
        self.detail = ""
        self._wall_us = wall_us
        self._changed = changed
        self.since_us = wall_us()
        """When the present state was entered; microseconds since the epoch."""

    def enter(self, state: State, reason: str, detail: str = "") -> None:
        """Change the state.

        Raises:
          IllegalTransitionError: the table does not allow it, or the reason has no name.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"{self.state} -> {state} ({reason})")
        if reason not in REASONS:
            raise IllegalTransitionError(f"{reason} is not a reason")
        previous, self.state, self.reason, self.detail = self.state, state, reason, detail
        self.since_us = self._wall_us()
        self._changed(previous)
