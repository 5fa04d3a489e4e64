"""The classes of clients, and how important each is when memory is short."""

from __future__ import annotations

from collections.abc import Mapping

from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.settings import STANDARD_CLASS, ClientClass

__all__ = ["ClientClasses"]


class ClientClasses:
    """Those of the configuration, and the standard class."""

    def __init__(self, configured: Mapping[str, ClientClass]) -> None:
        self._classes = _with_standard(configured)

    def apply(self, configured: Mapping[str, ClientClass]) -> None:
        """Take another configuration."""
        self._classes = _with_standard(configured)

    def require(self, name: str) -> None:
        """
        Raises:
          RequestError: ``invalid-field``: there is no such class.
        """
        if name not in self._classes:
            known = ", ".join(self._classes)
            raise RequestError("invalid-field", f"there is no class {name!r}; there are: {known}", field="$.class")

    def priority(self, name: str) -> int:
        """0 to 9; of a class that has left the configuration, the standard one's."""
        return self._classes.get(name, self._classes[STANDARD_CLASS]).priority


def _with_standard(configured: Mapping[str, ClientClass]) -> dict[str, ClientClass]:
    return {STANDARD_CLASS: ClientClass(), **configured}
