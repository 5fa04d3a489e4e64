"""Time stamps: a number whose unit its magnitude tells, or an ISO 8601 text; nanoseconds since the epoch come out."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

from .json_text import LineError
from .numbers import Number, read_number

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND_NS = 1_000_000_000
END_NS = int((datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC) - EPOCH).total_seconds()) * SECOND_NS

END = r"(?:[.,](?P<fraction>[0-9]{1,30}))?)?(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
EXTENDED = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt ]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})" + END
)
BASIC = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})[Tt ]"
    r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})" + END
)


def read_timestamp(text: str) -> int:
    """Nanoseconds since the epoch, UTC."""
    number = read_number(text)
    stamp_ns = _read_iso(text) if number is None else _read_epoch(number)
    if not 0 <= stamp_ns < END_NS:
        raise LineError("invalid_timestamp")
    return stamp_ns


def _read_epoch(number: Number) -> int:
    if not number.digits:
        return 0
    places = len(number.digits) + number.exponent  # before the point; negative when the fraction begins with zeros
    if places > 19:
        raise LineError("invalid_timestamp")
    digits = number.digits + "0" * number.exponent if number.exponent > 0 else number.digits
    if places > 0:
        whole, fraction = int(digits[:places] or "0"), digits[places:]
    else:
        whole, fraction = 0, "0" * min(-places, 10) + digits
    if whole < 10**11:
        unit = 9
    elif whole < 10**14:
        unit = 6
    elif whole < 10**17:
        unit = 3
    else:
        unit = 0
    stamp_ns: int = whole * 10**unit + int(fraction[:unit].ljust(unit, "0") or "0")
    return -stamp_ns if number.negative else stamp_ns


def _read_iso(text: str) -> int:
    match = EXTENDED.fullmatch(text) or BASIC.fullmatch(text)
    if match is None:
        raise LineError("invalid_timestamp")
    second = int(match["second"] or "0")
    try:
        day = datetime.date(int(match["year"]), int(match["month"]), int(match["day"]))
        time = datetime.time(int(match["hour"]), int(match["minute"]), min(second, 59))
    except ValueError:
        raise LineError("invalid_timestamp") from None
    if second > 60 or not 1970 <= day.year <= 2199:
        raise LineError("invalid_timestamp")
    wall = datetime.datetime.combine(day, time)
    if second == 60:
        wall += datetime.timedelta(seconds=1)
    # fold=0 is the rule: the first of the hour that comes twice; in the skipped one, the offset before the change.
    zone = NEW_YORK if match["offset"] is None else _read_offset(match["offset"])
    since_epoch = wall.replace(tzinfo=zone) - EPOCH
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    fraction: str = match["fraction"] or ""
    return seconds * SECOND_NS + int(fraction[:9].ljust(9, "0"))


def _read_offset(text: str) -> datetime.timezone:
    if text in "Zz":
        return datetime.UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or "0")
    if hours > 23 or minutes > 59:
        raise LineError("invalid_timestamp")
    distance = datetime.timedelta(hours=hours, minutes=minutes)
    return datetime.timezone(-distance if text[0] == "-" else distance)
