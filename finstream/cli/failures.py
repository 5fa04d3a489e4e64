"""What can keep a command from its work, and how it is told: lines for people, a document for programs, an exit code.

    FinStreamError
    +-- Refused         the engine answered with a problem (RFC 9457)
    +-- Unreachable     no engine answers at the address
    +-- ConfigError     a configuration cannot be used
"""

from __future__ import annotations

import sys

import msgspec

from finstream.cli import exits
from finstream.cli.output import say
from finstream.cli.trust import UNTRUSTED
from finstream.vocabulary.errors import ConfigError, FinStreamError

__all__ = ["Problem", "Refused", "Unreachable", "read_problem", "report"]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details as the engine sends them; members that it may add later are ignored."""

    title: str = "The engine refused"
    status: int = 0
    type: str = "about:blank"
    detail: str = ""
    field: str | None = None
    remedy: str | None = None


class Refused(FinStreamError):  # noqa: N818 - reads as what happened
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.title)


class Unreachable(FinStreamError):  # noqa: N818 - reads as what happened
    """``url`` is the address that was tried, ``why`` what the attempt met."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        self.why = why
        super().__init__(f"no engine answers at {url}: {why}")


# What the reader of a terminal can do next, where the engine does not say so itself.
_REMEDIES = {
    "unknown-asset": "`finstream assets` lists the assets of this engine",
    "unknown-client": "register again: `finstream subscribe` without --client does",
    "unauthorized": "set FINSTREAM_ADMIN_TOKEN to the engine's admin token",
    "wrong-state": "`finstream assets` shows the state it is in",
    "not-found": "is this the address of a FinStream engine, and the right one of its three?",
    "internal-error": "the engine's log says what happened",
}


def read_problem(status: int, body: bytes) -> Problem:
    """The problem in the body of an answer, or one made from its status where the body is something else."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        said = body[:200].decode(errors="replace").strip()
        title = f"The answer was HTTP {status}, but not from a FinStream engine"
        return Problem(title=title, status=status, detail=said)


def report(failure: FinStreamError, *, as_json: bool) -> int:
    """Tell a failure on standard error; returns the exit code that goes with it."""
    code, problem = _described(failure)
    if as_json:
        sys.stderr.write(msgspec.json.encode(problem).decode() + "\n")
        return code
    say(f"error: {problem.title}", fg="red", bold=True, err=True)
    lines = [("detail", problem.detail), ("field", problem.field), ("remedy", problem.remedy)]
    for name, text in lines:
        if text:
            say(f"  {name + ':':<8}{text}", err=True)
    return code


def _unreachable_remedy(failure: Unreachable) -> str:
    if failure.why.startswith(UNTRUSTED):
        return "if it is your engine, name the certificate that signed its own: --ca-file FILE, or FINSTREAM_CA_FILE"
    return "is it running? `finstream run` starts one; --public, --stream and --admin say where it is, with https and wss for TLS"


def _described(failure: FinStreamError) -> tuple[int, Problem]:
    match failure:
        case Refused(problem=problem):
            remedy = problem.remedy or _REMEDIES.get(problem.type.rpartition(":")[2])
            return exits.REFUSED, msgspec.structs.replace(problem, remedy=remedy)
        case Unreachable():
            return exits.UNREACHABLE, Problem(
                type="urn:finstream:problem:unreachable",
                title=f"No engine answers at {failure.url}",
                detail=failure.why,
                remedy=_unreachable_remedy(failure),
            )
        case ConfigError():
            return exits.MISCONFIGURED, Problem(
                type="urn:finstream:problem:config-rejected",
                title="The configuration cannot be used",
                detail=failure.problem,
                field=failure.where,
                remedy=failure.remedy or None,
            )
        case _:
            return exits.REFUSED, Problem(title=str(failure))
