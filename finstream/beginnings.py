"""What an engine needs in order to start, and whether it could start again."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from finstream.servers.admin import admin_token
from finstream.servers.front import Listeners
from finstream.servers.listeners import ListenError, address_of, open_listener
from finstream.servers.tls import Tls
from finstream.services.config import load
from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["check_start", "open_standard_streams", "raise_descriptor_limit"]


def check_start(path: Path, settings: Settings, listeners: Listeners) -> None:
    """Whether an engine that runs with ``settings`` and ``listeners`` could start again from the file. Blocks.

    Raises:
      ConfigError: it could not; the error says why.
    """
    new = load(path)
    admin_token(new, os.environ)
    Tls.of(new.tls)
    before, after = msgspec.structs.asdict(settings.listen), msgspec.structs.asdict(new.listen)
    ours = {address_of(listener)[1] for listener in listeners.all()}
    with ExitStack() as opened:
        for key in ("public", "stream", "admin"):
            # Our own ports will be free by then.
            if after[key] != before[key] and split_address(after[key]).port not in ours:
                try:
                    opened.enter_context(open_listener(key, after[key]))
                except ListenError as error:
                    raise ConfigError(f"listen.{key}", error.problem, error.remedy) from None


def raise_descriptor_limit() -> None:
    """One descriptor a connection; the usual soft limit of 1,024 is there for programs that use select()."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_standard_streams() -> None:
    """/dev/null in place of those that are closed: else the next files opened would get their numbers, and what is
    written to standard output would end up in them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)  # also over a reboot
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
