"""The exit codes of the command line. From 64 on they are those of ``sysexits.h``."""

from __future__ import annotations

__all__ = ["INTERRUPTED", "MISCONFIGURED", "OK", "REFUSED", "UNREACHABLE", "USAGE"]

OK = 0
REFUSED = 1
"""The engine said no, or a check found something to mend."""
USAGE = 2
"""The command line itself is wrong."""
UNREACHABLE = 69
"""No engine answers at the address."""
MISCONFIGURED = 78
"""A configuration cannot be used."""
INTERRUPTED = 130
"""Ctrl-C, in a command that had something left to do. Commands that run until Ctrl-C end with OK."""
