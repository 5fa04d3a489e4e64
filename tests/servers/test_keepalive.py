from __future__ import annotations

import pytest

from finstream.servers.keepalive import Care, care_for


@pytest.mark.parametrize(
    ("heard_at", "pinged_at", "care"),
    [
        (100, 0, Care.NOTHING),
        (81, 0, Care.NOTHING),
        (80, 0, Care.PING),
        (70, 90, Care.NOTHING),  # it has been asked and has time to answer
        (50, 80, Care.PING),
        (40, 80, Care.GIVE_UP),
        (40, 99, Care.GIVE_UP),
    ],
)
def test_care(heard_at: float, pinged_at: float, care: Care) -> None:
    assert care_for(100, heard_at, pinged_at, ping_after_s=20, give_up_s=60) is care
