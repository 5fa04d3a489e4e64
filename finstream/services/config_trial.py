"""What would become of a configuration, before it is applied."""

from __future__ import annotations

from pathlib import Path

from finstream.services.config import load, read
from finstream.services.config_checks import check
from finstream.services.config_plan import Plan, plan, with_engine_keys_of
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["effective", "try_out"]


def effective(running: Settings, new: Settings) -> Settings:
    """``new``, as far as it can take effect while the engine runs.

    Raises:
      ConfigError: the mode cannot change while the engine runs, and what is only right in the new mode must wait for it.
    """
    result = with_engine_keys_of(running, new)
    try:
        check(result)
    except ConfigError as error:
        problem = f"cannot change from {running.mode} to {new.mode} while the engine runs, and {error}"
        raise ConfigError("mode", problem, "restart the engine") from None
    return result


def try_out(running: Settings, path: Path, text: str | None) -> Plan:
    """What a reload of the file would change, or of ``text`` in its place. Changes nothing.

    Raises:
      ConfigError: it would be rejected.
    """
    new = load(path) if text is None else read(text, "the text")
    effective(running, new)
    return plan(running, new)
