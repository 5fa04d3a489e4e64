"""``python -m finstream_ingestors.keys``: keep venues' keys in an encrypted file. Values come from standard input, so that they
stand neither in the list of processes nor in the shell's history."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .kit.exits import DONE, MISCONFIGURED, IngestorParser, MisconfiguredError, complain
from .kit.secret import FILE, KEY_FILE, open_file, secrets_cipher, write_file

EXAMPLES: Final = f"""\
  export {FILE}=secrets.enc {KEY_FILE}=secrets.key
  python -m finstream_ingestors.keys new                    writes a new key to secrets.key
  python -m finstream_ingestors.keys put ACME_API_KEY       asks for the value, or reads it from a pipe
  python -m finstream_ingestors.keys list                   names only
  python -m finstream_ingestors.keys remove ACME_API_KEY
keep the two files apart: who has both has the keys"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = IngestorParser(
        prog="finstream_ingestors.keys", description="Keep venues' keys in an encrypted file.", examples=EXAMPLES
    )
    parser.add_argument("action", choices=("new", "put", "list", "remove"))
    parser.add_argument("name", nargs="?", help="of the variable that an ingestor looks for")
    options = parser.parse_args(arguments)
    if options.action in {"put", "remove"} and not options.name:
        parser.error(f"{options.action} needs a name, like ACME_API_KEY")
    try:
        if options.action == "new":
            _new_key()
        else:
            _change(options.action, options.name or "")
    except (MisconfiguredError, OSError) as error:
        complain(f"{parser.prog}: error: {error}")
        return MISCONFIGURED
    return DONE


def _new_key() -> None:
    from cryptography.fernet import Fernet

    path = _path(KEY_FILE)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MisconfiguredError(f"{path} is there already: what was encrypted with it could not be read any more") from None
    with os.fdopen(handle, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")


def _change(action: str, name: str) -> None:
    path, cipher = _path(FILE), secrets_cipher()
    values = open_file(path, cipher) if path.exists() or action != "put" else {}
    if action == "list":
        print("\n".join(sorted(values)))
        return
    if action == "put":
        value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        if not value:
            raise MisconfiguredError(f"{name}: no value came on standard input")
        values[name] = value
    elif values.pop(name, None) is None:
        raise MisconfiguredError(f"{path} holds no {name}")
    write_file(path, cipher, values)


def _path(variable: str) -> Path:
    if not os.environ.get(variable):
        raise MisconfiguredError(f"{variable} is needed: the name of the file")
    return Path(os.environ[variable])


if __name__ == "__main__":
    sys.exit(main())
