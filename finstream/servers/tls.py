"""The certificate and its key, as both kinds of servers use them: REST by Python's ssl, the stream by its acceptor.

The files are read at the start and at every reload of the configuration, so a renewed certificate needs no restart. Connections
that there are keep the one they began with.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

from finstream.acceptor import Certificate
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import TlsSettings

__all__ = ["Tls"]

_REMEDIES = {
    "library": "install OpenSSL 3 (Debian: apt install libssl3), or set tls.cert_file and tls.key_file to null",
    "cert_file": "name a PEM file with the certificate first, then those that signed it, in order",
    "key_file": "name a PEM file with the key of the certificate in tls.cert_file, without a password",
}


class Tls:
    """Raises ConfigError when the files cannot be used; blocks while it reads them."""

    def __init__(self, settings: TlsSettings) -> None:
        assert settings.cert_file is not None
        assert settings.key_file is not None
        self._cert_file = settings.cert_file
        self._key_file = settings.key_file
        self.http = self._new_context()
        self.stream = self._new_certificate()
        self.renewed: Callable[[Certificate], None] = lambda _certificate: None
        """Told of the stream's new certificate."""

    @classmethod
    def of(cls, settings: TlsSettings) -> Tls | None:
        """None where no certificate is configured. Raises ConfigError."""
        return None if settings.cert_file is None else cls(settings)

    def renew(self) -> None:
        """Read the files again, for connections to come.

        Raises:
          ConfigError: they cannot be used; the former certificate stays.
        """
        self._new_context()  # a context in use would be left with half of a pair that does not match
        stream = self._new_certificate()
        self._load_into(self.http)
        self.stream = stream
        self.renewed(stream)

    def warnings(self, now_s: float) -> list[str]:
        """What clients will find wrong with the certificate at that time (seconds since the epoch)."""
        begins_s, ends_s = self.stream.valid_from_s, self.stream.valid_until_s
        if 0 <= ends_s < now_s:
            return [_warning(f"{self._cert_file} expired on {_day(ends_s)}: clients refuse it until it is renewed")]
        if now_s < begins_s:
            return [_warning(f"{self._cert_file} is not valid before {_day(begins_s)}: until then clients refuse it")]
        return []

    def _new_context(self) -> ssl.SSLContext:
        for key, file in (("cert_file", self._cert_file), ("key_file", self._key_file)):
            try:
                Path(file).read_bytes()
            except OSError as error:
                raise _refusal(key, f"{Path(file).absolute()} cannot be read: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.set_alpn_protocols(["http/1.1"])
        context.num_tickets = 0
        self._load_into(context)
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        try:
            # The password would be asked for on the terminal.
            context.load_cert_chain(self._cert_file, self._key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            self._new_certificate()  # it knows which of the two files is wrong
            raise _refusal("cert_file", str(error)) from None

    def _new_certificate(self) -> Certificate:
        try:
            return Certificate(self._cert_file.encode(), self._key_file.encode())
        except ValueError as error:
            what, reason = error.args
            raise _refusal(what, reason if what == "library" else f"{self._file(what)} cannot be used: {reason}") from None

    def _file(self, key: str) -> str:
        return self._cert_file if key == "cert_file" else self._key_file


def _warning(problem: str) -> str:
    return f"tls.cert_file: {problem}"


def _day(at_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))


def _refusal(what: str, problem: str) -> ConfigError:
    return ConfigError("tls.cert_file" if what == "library" else f"tls.{what}", problem, _REMEDIES[what])
