"""Where an engine is: its public REST address, and that of its stream."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["DEFAULT_URL", "Addresses"]

DEFAULT_URL = "http://127.0.0.1:8080"
_STREAM_SCHEMES = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Addresses:
    public: str
    """Without a slash at its end."""
    host: str
    port: int
    path: str
    """What a proxy put before the stream's own path."""
    is_encrypted: bool

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.is_encrypted else 80) else f"{name}:{self.port}"

    @property
    def stream(self) -> str:
        return f"{'wss' if self.is_encrypted else 'ws'}://{self.host_header}{self.path}"

    @classmethod
    def of(cls, url: str, stream_url: str | None) -> Addresses:
        """``stream_url``: None for the port after that of ``url``, as the engine has them unless it is configured
        otherwise.

        Raises:
          ValueError: One of them is no such address; the text says which and what to write.
        """
        public = urlsplit(url)
        if public.scheme not in _STREAM_SCHEMES or not public.hostname:
            raise ValueError(f"url is the engine's public address, like {DEFAULT_URL}, not {url!r}")
        if stream_url is None:
            if public.port is None:
                raise ValueError(f"{url!r} names no port to tell the stream's from: give stream_url too")
            host = public.netloc.rpartition(":")[0]
            stream = urlsplit(f"{_STREAM_SCHEMES[public.scheme]}://{host}:{public.port + 1}")
        else:
            stream = urlsplit(stream_url)
            if stream.scheme not in _STREAM_SCHEMES.values() or not stream.hostname:
                raise ValueError(f"stream_url is the stream's address, like ws://127.0.0.1:8081, not {stream_url!r}")
        for one in (public, stream):
            try:
                (one.hostname or "").encode("idna")
            except UnicodeError:
                raise ValueError(f"there can be no host of the name {one.hostname!r}") from None
        encrypted = stream.scheme == "wss"
        return cls(
            public=url.rstrip("/"),
            host=stream.hostname or "",
            port=stream.port or (443 if encrypted else 80),
            path=stream.path.rstrip("/"),
            is_encrypted=encrypted,
        )
