"""What can go wrong, and whose word it is.

    FinStreamError
    ├── Unreachable          nothing answered
    ├── Refused              the engine answered with a problem; `problem` is its stable word
    ├── Ended                the engine sent us away for good; `code` says why
    ├── Closed               the program closed this client itself, and iterates over it again
    └── ProtocolViolation    what came is not the stream protocol: not a FinStream engine, or a bug
"""

from __future__ import annotations

__all__ = ["Closed", "Ended", "FinStreamError", "ProtocolViolation", "Refused", "Unreachable"]

PREFIX = "urn:finstream:problem:"


class FinStreamError(Exception):
    """All errors of this package."""


class Unreachable(FinStreamError):  # noqa: N818 - the word that its users think in
    """Nothing answered at ``address``. Is the engine running, and is this its address?"""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address}: {why}")
        self.address = address
        self.why = why


class Refused(FinStreamError):  # noqa: N818
    """The engine did not serve a request.

    ``problem`` tells problems apart and never changes (``unknown-asset``); ``detail`` is for people; ``field`` names
    the member at fault and ``remedy`` what to do, where the engine told. ``status`` is that of the HTTP answer, 0 for
    one on the stream. ``retry_after_s`` says when to come back, if the engine did.
    """

    def __init__(
        self,
        problem: str,
        detail: str,
        *,
        status: int = 0,
        field: str | None = None,
        remedy: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.problem = problem.removeprefix(PREFIX)
        self.detail = detail
        self.status = status
        self.field = field
        self.remedy = remedy
        self.retry_after_s = retry_after_s
        where = f" ({field})" if field else ""
        super().__init__(f"{self.problem}: {detail}{where}" + (f". {remedy}" if remedy else ""))


class Ended(FinStreamError):  # noqa: N818
    """The engine closed the connection and will not have us back; `docs/problems.md` of the engine says what each
    ``code`` means."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Closed(FinStreamError):  # noqa: N818
    """The client was closed before; ``code`` is ``closed``."""

    code = "closed"

    def __init__(self) -> None:
        super().__init__(f"{self.code}: this client is closed; connect() makes another")


class ProtocolViolation(FinStreamError):  # noqa: N818
    """What came is not the stream protocol."""
