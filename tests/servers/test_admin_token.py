from __future__ import annotations

import pytest
from quart import Request

from finstream.servers.admin import admin_token, check_token
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.settings import AdminSettings, ListenSettings, Settings


def settings(admin: str) -> Settings:
    return Settings(listen=ListenSettings(admin=admin), admin=AdminSettings(token_env="THE_TOKEN"))


@pytest.mark.parametrize("address", ["127.0.0.1:8090", "localhost:8090", "[::1]:0"])
def test_on_loopback_no_token_is_needed(address: str) -> None:
    assert admin_token(settings(address), {}) is None
    assert admin_token(settings(address), {"THE_TOKEN": ""}) is None


@pytest.mark.parametrize(
    "address", ["0.0.0.0:8090", "[::]:8090", ":8090", "192.168.1.5:8090", "admin.example.com:8090"]
)
def test_elsewhere_it_is(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        admin_token(settings(address), {"THE_TOKEN": "", "FINSTREAM_ADMIN_TOKEN": "x"})
    assert raised.value.where == "listen.admin"
    assert "THE_TOKEN" in raised.value.remedy
    assert admin_token(settings(address), {"THE_TOKEN": "secret"}) == "secret"


def test_a_token_that_is_set_counts_on_loopback_too() -> None:
    assert admin_token(settings("127.0.0.1:8090"), {"THE_TOKEN": "secret"}) == "secret"


class _Asked:
    """As much of a request as the check looks at."""

    def __init__(self, authorization: str | None) -> None:
        self.headers = {} if authorization is None else {"Authorization": authorization}


def passes(token: str | None, authorization: str | None) -> bool:
    request: Request = _Asked(authorization)  # type: ignore[assignment]
    try:
        check_token(token)(request)
    except RequestError as error:
        return error.problem != "unauthorized"
    return True


def test_the_check() -> None:
    assert passes("secret", "Bearer secret")
    assert passes("secret", "bearer  secret ")
    assert passes(None, None)
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secrets",
        "Basic secret",
        "secret",
        "Bearer \xff",
    ):
        assert not passes("secret", wrong), wrong
