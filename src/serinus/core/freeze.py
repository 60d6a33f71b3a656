"""Windows of time in which no plan goes on: on some days, once a week, or once.

Times are those of a wall clock in a time zone. A clock that jumps ahead of a beginning or an end has reached it; of a
time that it shows twice, a window begins at the first and ends at the second.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from serinus.core.errors import InvalidInput

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MIDNIGHT, END_OF_DAY = "00:00", "24:00"

TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
END = f"(?:{TIME}|24:00)"
WEEKLY = f"(?:{'|'.join(DAYS)}) {TIME}"
ONCE = f"2[01][0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}T{TIME}(?::[0-5][0-9])?"
ZONE = "UTC|[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)+"
"""Patterns of what may be written, without anchors."""

_HOUR, _DAY, _WEEK = 60, 1440, 10_080  # minutes
_BACK, _AHEAD = 15, 2  # days: two windows of a week
_LONG = timedelta(days=6)
_CHAINED = 400


@dataclass(frozen=True, slots=True)
class Freeze:
    """One window.

    With ``days`` (Mon to Sun) it is from ``start`` to ``end`` on each of them, both HH:MM; an ``end`` that is not later
    than ``start`` is on the next day. Without them ``start`` and ``end`` are ``Fri 16:00`` and ``Mon 08:00`` (once a
    week) or ``2026-12-20T00:00`` and ``2027-01-02T00:00`` (once).
    """

    time_zone: str
    start: str = MIDNIGHT
    end: str = END_OF_DAY
    days: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no window; that the time zone is known here is not asked, see ``is_known``."""
        if not re.fullmatch(ZONE, self.time_zone):
            raise _wrong("timeZone", self.time_zone, "Give a name of the IANA database, like Europe/Berlin or UTC.")
        if self.days:
            self._check_days()
        elif re.fullmatch(WEEKLY, self.start):
            _matched(WEEKLY, self.end, "to", "Give a day and a time, like Mon 08:00.")
            if self.start == self.end:
                raise _wrong("to", self.end, "Let it end at another time than it begins at: this would never end.")
        else:
            begins, ends = _once(self.start, "from"), _once(self.end, "to")
            if ends <= begins:
                raise _wrong("to", self.end, f"Give a time after {self.start}.")

    def _check_days(self) -> None:
        for day in self.days:
            if day not in DAYS:
                raise _wrong("days", day, f"Name days as {', '.join(DAYS)}.")
        if len(set(self.days)) < len(self.days):
            raise _wrong("days", list(self.days), "Name each day once.")
        _matched(TIME, self.start, "from", "Give a time like 16:00.")
        _matched(END, self.end, "to", "Give a time like 08:00, or 24:00 for the end of the day.")

    def until(self, now: datetime) -> datetime | None:
        """Give the end of the freeze that holds at ``now``, in UTC; None if none does."""
        return frozen_until((self,), now)

    def near(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the windows around ``now``, beginnings and ends in UTC: the ones that hold, and the last one before."""
        zone = ZoneInfo(self.time_zone)
        if not self.is_weekly:
            yield _instant(_once(self.start, "from"), zone), _instant(_once(self.end, "to"), zone, last=True)
            return
        starts, length = self.week()
        today = now.astimezone(zone).date()
        for offset in range(-_BACK, _AHEAD):
            day = today + timedelta(days=offset)
            for start in starts:
                if start // _DAY == day.weekday():
                    local = datetime.combine(day, time(*divmod(start % _DAY, _HOUR)))
                    ends = local + timedelta(minutes=length)
                    yield _instant(local, zone), _instant(ends, zone, last=True)

    @property
    def is_weekly(self) -> bool:
        """Whether it returns every week."""
        return bool(self.days) or self.start[0].isalpha()

    def week(self) -> tuple[tuple[int, ...], int]:
        """Give the minutes of the week at which it begins, from Monday 00:00 on, and its length in minutes."""
        if not self.days:
            start = _minute_of_week(self.start)
            return (start,), (_minute_of_week(self.end) - start) % _WEEK
        start = _minute(self.start)
        return tuple(DAYS.index(day) * _DAY + start for day in self.days), (_minute(self.end) - start) % _DAY or _DAY

    def __str__(self) -> str:
        """Say when it is."""
        if not self.days:
            return f"{self.start} to {self.end}, {self.time_zone}"
        hours = "all day" if (self.start, self.end) == (MIDNIGHT, END_OF_DAY) else f"{self.start} to {self.end}"
        return f"{', '.join(self.days)} {hours}, {self.time_zone}"


def frozen_until(freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """Give the moment at which none of the windows holds any more, in UTC, None if none does now.

    Windows that meet are one.

    Raises:
        KeyError: a time zone is not known here.
    """
    last = _last(freezes, now)
    return None if last is None else last[0]


def frozen(freezes: Sequence[Freeze], now: datetime) -> str:
    """Say that nothing goes on now, and until when; "" where it may go on.

    A window whose time zone is not known here might hold, and so it does.
    """
    strangers = [freeze.time_zone for freeze in freezes if not is_known(freeze.time_zone)]
    if strangers:
        return f"frozen: the time zone {strangers[0]} is not known on this machine (is its tzdata too old?)"
    last = _last(freezes, now)
    if last is None:
        return ""
    ends = last[0].astimezone(ZoneInfo(last[1]))
    at = ends.strftime("%H:%M") + (f":{ends.second:02}" if ends.second else "")
    day = DAYS[ends.weekday()] if last[0] - now < _LONG else ends.date().isoformat()
    return f"frozen until {day} {at} {last[1]}"


def thawed(freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """Give the end of the last window before ``now``; None if there was none lately."""
    known = [freeze for freeze in freezes if is_known(freeze.time_zone)]
    return max((end for freeze in known for _, end in freeze.near(now) if end <= now), default=None)


def never_ends(freezes: Sequence[Freeze]) -> bool:
    """Say whether the windows of one time zone fill every week."""
    by_zone: dict[str, list[tuple[int, int]]] = {}
    for freeze in freezes:
        if freeze.is_weekly:
            starts, length = freeze.week()
            for start in starts:  # twice: a window may reach into the next week
                by_zone.setdefault(freeze.time_zone, []).extend(
                    (start + week, start + week + length) for week in (-_WEEK, 0)
                )
    return any(_fills(sorted(windows)) for windows in by_zone.values())


def is_known(time_zone: str) -> bool:
    """Say whether this machine knows the time zone."""
    try:
        ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):  # a folder of zones is an OSError
        return False
    return True


def _last(freezes: Sequence[Freeze], now: datetime) -> tuple[datetime, str] | None:
    """Give the end of the freeze that holds, and the time zone of the window that ends it."""
    last, at = None, now
    for _ in range(_CHAINED):
        holding = [(end, freeze.time_zone) for freeze in freezes for start, end in freeze.near(at) if start <= at < end]
        if not holding:
            break
        last = max(holding)
        at = last[0]
    return last


def _fills(windows: list[tuple[int, int]]) -> bool:
    reached = 0
    for start, end in windows:
        if start > reached:
            return False
        reached = max(reached, end)
    return reached >= _WEEK


def _instant(local: datetime, zone: ZoneInfo, *, last: bool = False) -> datetime:
    early, late = sorted(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early == late or _wall(early, zone) == local:
        return late if last else early
    while late - early > timedelta(seconds=1):  # skipped: find the jump
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if _wall(middle, zone) < local:
            early = middle
        else:
            late = middle
    return late


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _minute(text: str) -> int:
    return int(text[:2]) * _HOUR + int(text[3:])


def _minute_of_week(text: str) -> int:
    return DAYS.index(text[:3]) * _DAY + _minute(text[4:])


def _once(text: str, name: str) -> datetime:
    remedy = "Give a local time like 2026-12-20T00:00, without an offset, or a day and a time like Fri 16:00."
    _matched(ONCE, text, name, remedy)
    try:
        return datetime.fromisoformat(text)
    except ValueError as wrong:
        raise _wrong(name, text, f"There is no such day. {remedy}") from wrong


def _matched(pattern: str, text: str, name: str, remedy: str) -> None:
    if not re.fullmatch(pattern, text):
        raise _wrong(name, text, remedy)


def _wrong(name: str, value: object, remedy: str) -> InvalidInput:
    return InvalidInput(f"freeze.{name} is {value!r}.", field=f"freeze.{name}", remedy=remedy)
