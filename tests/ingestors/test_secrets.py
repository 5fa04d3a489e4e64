"""Keys of venues: where they come from, and that they show nowhere."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finstream_ingestors
import pytest
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kit.secret import Secret, read_secret

VALUE = "s3cret-Value=="


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, with its files in a folder of the test; the test's own process finds them too."""
    monkeypatch.setenv("INGESTOR_SECRETS_FILE", str(tmp_path / "secrets.enc"))
    monkeypatch.setenv("INGESTOR_SECRETS_KEY_FILE", str(tmp_path / "secrets.key"))
    monkeypatch.delenv("INGESTOR_SECRETS_KEY", raising=False)
    monkeypatch.delenv("ACME_API_KEY", raising=False)

    def run(*arguments: str, value: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "finstream_ingestors.keys", *arguments]
        return subprocess.run(command, input=value, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_what_was_put_into_the_file_is_read_and_nothing_shows_it(
    keys: Callable[..., Any], tmp_path: Path
) -> None:
    assert keys("new").returncode == 0
    put = keys("put", "ACME_API_KEY", value=VALUE + "\n")
    assert (put.returncode, put.stdout, put.stderr) == (0, "", "")
    keys("put", "OTHER", value="x\n")
    secret = read_secret("ACME_API_KEY")
    assert secret.reveal() == VALUE
    assert VALUE not in f"{secret} {secret!r}"
    assert keys("list").stdout == "ACME_API_KEY\nOTHER\n"
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert VALUE.encode() not in path.read_bytes()
    assert keys("remove", "ACME_API_KEY").returncode == 0
    assert keys("list").stdout == "OTHER\n"
    with pytest.raises(MisconfiguredError, match="holds no ACME_API_KEY"):
        read_secret("ACME_API_KEY")


def test_the_environment_comes_first(keys: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    keys("new")
    keys("put", "ACME_API_KEY", value="of the file\n")
    monkeypatch.setenv("ACME_API_KEY", "of the environment")
    assert read_secret("ACME_API_KEY").reveal() == "of the environment"


def test_the_key_may_stand_in_the_environment(
    keys: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("new")
    keys("put", "ACME_API_KEY", value=VALUE)
    monkeypatch.setenv("INGESTOR_SECRETS_KEY", (tmp_path / "secrets.key").read_text())
    monkeypatch.delenv("INGESTOR_SECRETS_KEY_FILE")
    assert read_secret("ACME_API_KEY").reveal() == VALUE


def broken(tmp_path: Path, how: str) -> None:
    key, file = tmp_path / "secrets.key", tmp_path / "secrets.enc"
    if how == "key for all to read":
        key.chmod(0o644)
    elif how == "another key":
        key.write_text("A" * 43 + "=")
    elif how == "no key":
        key.write_text("password")
    elif how == "changed file":
        file.write_bytes(file.read_bytes()[:-8] + b"AAAAAAA=")
    elif how == "no file":
        file.unlink()


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ("key for all to read", "chmod 600"), ("another key", "not written with this key"), ("no key", "is no key"),
        ("changed file", "changed since"), ("no file", "No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_told_with_the_remedy(
    how: str, hint: str, keys: Callable[..., Any], tmp_path: Path
) -> None:
    keys("new")
    keys("put", "ACME_API_KEY", value=VALUE)
    broken(tmp_path, how)
    with pytest.raises(MisconfiguredError, match=hint) as error:
        read_secret("ACME_API_KEY")
    assert VALUE not in str(error.value)


def test_without_any_it_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGESTOR_SECRETS_FILE", raising=False)
    with pytest.raises(MisconfiguredError, match="set it in the environment"):
        read_secret("ACME_API_KEY")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["put"], "needs a name"), (["other"], "invalid choice"), (["put", "X"], "no value came"),
        (["remove", "X"], "secrets.enc"), (["new"], "is there already"),
    ],
)  # fmt: skip
def test_the_command_refuses_what_cannot_work(arguments: list[str], hint: str, keys: Callable[..., Any]) -> None:
    keys("new")
    result = keys(*arguments)
    assert result.returncode == 78
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_venue_that_needs_a_key_gets_it_and_tells_nobody(
    keys: Callable[..., Any], tmp_path: Path, venue: Callable[..., Any]
) -> None:
    """A whole program of a venue that wants a key in its handshake: it arrives there and shows neither in the arguments nor in
    anything printed, although the connection is refused."""
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    package = tmp_path / "path" / "finstream_ingestors"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "kit").symlink_to(Path(finstream_ingestors.__file__).parent / "kit")
    (package / "okx.py").symlink_to(Path(finstream_ingestors.__file__).parent / "okx.py")
    (package / "acme.py").write_text(
        textwrap.dedent(
            """
            import sys
            from dataclasses import replace

            from .kit.secret import read_secret
            from .kit.venue import run
            from .okx import VENUE, open_feed

            def with_key(options, symbols):
                feed = open_feed(options, symbols)
                headers = {"X-Api-Key": read_secret("ACME_API_KEY").reveal()}
                return replace(feed, endpoint=replace(feed.endpoint, headers=headers))

            sys.exit(run(replace(VENUE, open_feed=with_key)))
            """
        )
    )
    command = [sys.executable, "-m", "finstream_ingestors.acme", "--symbols", "A/B", "--url"]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    keys("new")
    keys("put", "OTHER", value="x")
    nowhere = [*command, "ws://127.0.0.1:9"]
    refused = subprocess.run(nowhere, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 78
    assert "ACME_API_KEY" in refused.stderr
    keys("put", "ACME_API_KEY", value=VALUE)
    server = venue(refusals=[Response(401, "Unauthorized", Headers({"Content-Length": "0"}), b"")])
    url = server.url.replace("ws://", "ws://user:password@") + "?token=in-the-query"
    with subprocess.Popen([*command, url], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline() + process.stdout.readline() + process.stdout.readline()
        assert VALUE not in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.terminate()
        rest, errors = process.communicate(timeout=20)
    assert "HTTP 401" in told
    assert server.handshakes[0].headers["X-Api-Key"] == VALUE
    for secret in (VALUE, "password", "in-the-query"):
        assert secret not in told + rest + errors


def test_a_secret_does_not_show_in_a_traceback() -> None:
    assert VALUE not in repr({"headers": Secret(VALUE)})
