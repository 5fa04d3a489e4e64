"""The configuration file: read, typed, checked. Nothing of it is used before all of it is known to be right.

``load`` goes from the file to :class:`Settings` in four steps: text -> YAML (:mod:`config_yaml`) -> types
(:mod:`config_types`) -> meaning (:mod:`config_checks`). Each refuses with a :class:`ConfigError` that names the key and
says what to write instead.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from finstream.services.config_checks import check
from finstream.services.config_types import to_settings
from finstream.services.config_yaml import parse
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["find_default", "load", "read"]

_LOCAL = Path("config/config.yaml")
_MAX_FILE_BYTES = 4 << 20
"""A configuration is a few kilobytes; more is the wrong file."""


def find_default() -> Path:
    """The file used when none is named: ``config/config.yaml`` here, else the one that the package brings.

    Raises:
      ConfigError: neither exists.
    """
    if _LOCAL.is_file():
        return _LOCAL
    packaged = Path(str(resources.files("finstream.defaults").joinpath("config.yaml")))
    if packaged.is_file():
        return packaged
    raise ConfigError(str(_LOCAL), "no such file, and the installed package brings none", "name one with --config FILE")


def load(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
      ConfigError: the file cannot be read, or anything in it is wrong.
    """
    return read(_text(path), str(path))


def read(text: str, name: str) -> Settings:
    """The same from a text; ``name`` stands for it in errors that concern the whole.

    Raises:
      ConfigError: as :func:`load`.
    """
    settings = to_settings(parse(text, name), name)
    check(settings)
    return settings


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "name one with --config FILE") from None
    except IsADirectoryError:
        raise ConfigError(str(path), "is a directory", "name the file in it") from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "look at its permissions") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(str(path), f"is larger than {_MAX_FILE_BYTES} bytes", "is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"is not UTF-8 (byte {error.start})", "save it as UTF-8") from None
