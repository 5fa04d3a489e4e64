"""Keys of venues: from the environment, or from an encrypted file. Never from the command line, never into a log.

``NAME`` is looked up as an environment variable; then in the file that ``INGESTOR_SECRETS_FILE`` names, which
``python -m finstream_ingestors.keys`` writes: a Fernet token (AES-128-CBC with HMAC-SHA256) around a JSON object of names and
values. Its key is in ``INGESTOR_SECRETS_KEY``, or in the file that ``INGESTOR_SECRETS_KEY_FILE`` names, which nobody but its
owner may read.

Needs the ``cryptography`` library, which is imported only when a file is opened.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .exits import MisconfiguredError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

__all__ = ["FILE", "KEY", "KEY_FILE", "Secret", "open_file", "read_secret", "secrets_cipher", "write_file"]

FILE: Final = "INGESTOR_SECRETS_FILE"
KEY: Final = "INGESTOR_SECRETS_KEY"
KEY_FILE: Final = "INGESTOR_SECRETS_KEY_FILE"


class Secret:
    """Text that does not show itself: not in a log, not in a traceback, not in a message."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """For the one place that sends it to the venue."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


def read_secret(name: str) -> Secret:
    """The value of a name.

    Raises:
        MisconfiguredError: There is none, or the file cannot be opened. The message says how to give it.
    """
    if os.environ.get(name):
        return Secret(os.environ[name])
    if not os.environ.get(FILE):
        raise MisconfiguredError(
            f"{name} is needed: set it in the environment (`env:` of the asset), or put it into an encrypted file and name that "
            f"in {FILE} (python -m finstream_ingestors.keys --help)"
        )
    path = Path(os.environ[FILE])
    values = open_file(path, secrets_cipher())
    if name not in values:
        raise MisconfiguredError(f"{path} holds no {name}: python -m finstream_ingestors.keys put {name}")
    return Secret(values[name])


def open_file(path: Path, cipher: Fernet) -> dict[str, str]:
    """Names and values of an encrypted file. Raises MisconfiguredError."""
    from cryptography.fernet import InvalidToken

    try:
        text = cipher.decrypt(path.read_bytes())
    except OSError as error:
        raise MisconfiguredError(f"{FILE} {path}: {error.strerror or error}") from error
    except InvalidToken:
        raise MisconfiguredError(f"{FILE} {path} was not written with this key, or was changed since") from None
    values: dict[str, str] = json.loads(text)
    return values


def write_file(path: Path, cipher: Fernet, values: dict[str, str]) -> None:
    """In one piece or not at all, readable for its owner only. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(cipher.encrypt(json.dumps(values).encode()))
    beside.replace(path)


def secrets_cipher() -> Fernet:
    """What opens the file, by the key that the environment gives or names. Raises MisconfiguredError."""
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise MisconfiguredError(
            f"encrypted secrets need the cryptography library ({error}): pip install 'finstream[ingestors]'"
        ) from error
    key = os.environ.get(KEY) or _key_of_file()
    try:
        return Fernet(key.strip())
    except ValueError:
        raise MisconfiguredError(f"{KEY} is no key: python -m finstream_ingestors.keys new makes one") from None


def _key_of_file() -> str:
    if not os.environ.get(KEY_FILE):
        raise MisconfiguredError(f"{KEY} or {KEY_FILE} is needed to open {os.environ.get(FILE) or FILE}")
    path = Path(os.environ[KEY_FILE])
    try:
        if path.stat().st_mode & 0o077:
            raise MisconfiguredError(f"{KEY_FILE} {path} can be read by others than its owner: chmod 600 {path}")
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{KEY_FILE} {path}: {error}") from error
