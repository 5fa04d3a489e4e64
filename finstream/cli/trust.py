"""Whose certificates are believed: those of the system's store, and those of a file."""

from __future__ import annotations

import ssl

__all__ = ["UNTRUSTED", "trusting", "why_no_tls"]

UNTRUSTED = "its certificate is not trusted"


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """``ca_file``: PEM certificates to be trusted besides; None: no others.

    Raises:
      ValueError: it cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # SSLError is one
            reason = "holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise ValueError(f"{ca_file}: {reason}") from None
    return context


def why_no_tls(error: BaseException | None) -> str | None:
    """What TLS has to do with a failure that a library wraps in its own; None: nothing."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{UNTRUSTED}: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
        error = error.__cause__ or error.__context__
    return None
