"""When nothing goes on: windows on a wall clock, also where the clock jumps."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.freeze import DAYS, Freeze, frozen, frozen_until, is_known, never_ends, thawed

BERLIN = "Europe/Berlin"
WEEKEND = Freeze(BERLIN, "Fri 16:00", "Mon 08:00")
NIGHTS = Freeze(BERLIN, "22:00", "06:00", ("Mon", "Tue", "Wed"))
HOLIDAYS = Freeze(BERLIN, "2026-12-20T00:00", "2027-01-02T00:00")
ZONES = (
    "UTC",
    BERLIN,
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
)


def berlin(text: str, fold: int = 0) -> datetime:
    """Give a moment by Berlin's clock, as UTC: datetimes of one zone are compared without regard to its jumps."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold).astimezone(UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("freeze", "now", "until"),
    [
        (WEEKEND, "2026-03-06T15:59", None),  # a Friday
        (WEEKEND, "2026-03-06T16:00", "2026-03-09T08:00"),
        (WEEKEND, "2026-03-08T23:00", "2026-03-09T08:00"),
        (WEEKEND, "2026-03-09T07:59", "2026-03-09T08:00"),
        (WEEKEND, "2026-03-09T08:00", None),
        (NIGHTS, "2026-03-09T21:59", None),  # a Monday
        (NIGHTS, "2026-03-09T22:00", "2026-03-10T06:00"),
        (NIGHTS, "2026-03-12T05:59", "2026-03-12T06:00"),  # Wednesday's night
        (NIGHTS, "2026-03-12T22:00", None),
        (Freeze(BERLIN, days=("Sat", "Sun")), "2026-03-07T12:00", "2026-03-09T00:00"),
        (Freeze(BERLIN, "12:00", "13:00", ("Sun",)), "2026-03-08T12:30", "2026-03-08T13:00"),
        (Freeze(BERLIN, "08:00", "08:00", ("Sun",)), "2026-03-09T07:00", "2026-03-09T08:00"),
        (HOLIDAYS, "2026-12-19T23:59", None),
        (HOLIDAYS, "2026-12-20T00:00", "2027-01-02T00:00"),
        (HOLIDAYS, "2027-01-02T00:00", None),
    ],
)
def test_a_window_holds_from_its_beginning_until_just_before_its_end(
    freeze: Freeze, now: str, until: str | None
) -> None:
    assert freeze.until(berlin(now)) == (None if until is None else berlin(until))


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        # The 29th of March 2026: at 02:00, which is 01:00 UTC, it is 03:00.
        ("01:00", "02:30", "2026-03-29T00:59:59", "2026-03-29T01:00"),
        ("02:30", "04:00", "2026-03-29T00:59:59", None),
        ("02:30", "04:00", "2026-03-29T01:00", "2026-03-29T02:00"),
        ("02:15", "02:45", "2026-03-29T01:00", None),
        ("22:00", "06:00", "2026-03-29T03:59", "2026-03-29T04:00"),
        # The 25th of October 2026: at 03:00, which is 01:00 UTC, it is 02:00 again.
        ("02:30", "04:00", "2026-10-25T00:30", "2026-10-25T03:00"),
        ("02:30", "04:00", "2026-10-25T01:10", "2026-10-25T03:00"),
        ("02:30", "04:00", "2026-10-25T00:29", None),
        ("01:00", "02:30", "2026-10-25T00:45", "2026-10-25T01:30"),
        ("01:00", "02:30", "2026-10-25T01:30", None),
        ("22:00", "06:00", "2026-10-25T04:59", "2026-10-25T05:00"),
    ],
)
def test_a_clock_that_jumps_has_reached_what_it_skips_and_a_time_shown_twice_is_wholly_in_the_window(
    start: str, end: str, now: str, until: str | None
) -> None:
    freeze = Freeze(BERLIN, start, end, DAYS)
    assert freeze.until(utc(now)) == (None if until is None else utc(until))


def test_a_weekend_in_which_the_clock_changes_ends_by_the_new_time() -> None:
    saturday = utc("2026-03-28T12:00")
    assert WEEKEND.until(saturday) == utc("2026-03-30T06:00")
    assert WEEKEND.until(saturday + timedelta(days=7)) == utc("2026-04-06T06:00")
    assert WEEKEND.until(utc("2026-10-24T12:00")) == utc("2026-10-26T07:00")


def test_a_day_that_a_country_leaves_out_is_no_day_of_a_window() -> None:
    samoa = Freeze("Pacific/Apia", days=("Fri",))  # the 30th of December 2011 was none there
    assert samoa.until(utc("2011-12-30T09:59:59")) is None
    assert samoa.until(utc("2011-12-30T10:00")) is None


def test_windows_that_meet_are_one() -> None:
    evening = Freeze("UTC", "18:00", "24:00", DAYS)
    night = Freeze("UTC", days=("Tue",))
    assert frozen_until((evening, night), utc("2026-03-09T19:00")) == utc("2026-03-11T00:00")


def test_without_windows_nothing_is_frozen() -> None:
    assert frozen_until((), utc("2026-03-09T19:00")) is None
    assert frozen((), utc("2026-03-09T19:00")) == ""


@pytest.mark.parametrize(
    ("freeze", "now", "said"),
    [
        (WEEKEND, "2026-03-07T12:00", "frozen until Mon 08:00 Europe/Berlin"),
        (HOLIDAYS, "2026-12-24T12:00", "frozen until 2027-01-02 00:00 Europe/Berlin"),
        (WEEKEND, "2026-03-10T12:00", ""),
    ],
)
def test_people_are_told_until_when(freeze: Freeze, now: str, said: str) -> None:
    assert frozen((freeze,), berlin(now)) == said


def test_a_window_in_a_zone_that_is_not_known_might_hold_and_so_it_does() -> None:
    unknown = Freeze("Europe/Atlantis", days=("Mon",))
    assert not is_known("Europe/Atlantis")
    assert "Europe/Atlantis" in frozen((unknown,), utc("2026-03-10T12:00"))
    assert thawed((unknown,), utc("2026-03-10T12:00")) is None


def test_the_end_of_the_last_window_is_remembered() -> None:
    assert thawed((WEEKEND, NIGHTS), berlin("2026-03-09T12:00")) == berlin("2026-03-09T08:00")
    assert thawed((WEEKEND, NIGHTS), berlin("2026-03-10T12:00")) == berlin("2026-03-10T06:00")
    assert thawed((HOLIDAYS,), berlin("2026-03-10T12:00")) is None


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"time_zone": "Berlin"}, "freeze.timeZone", "Berlin"),
        ({"time_zone": "posix/Europe/Berlin"}, "freeze.timeZone", "posix/Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "freeze.timeZone", "../etc/passwd"),
        ({"days": ("Fr",)}, "freeze.days", "Fr"),
        ({"days": ("Fri", "Fri")}, "freeze.days", "Fri"),
        ({"days": ("Fri",), "start": "4pm"}, "freeze.from", "4pm"),
        ({"days": ("Fri",), "start": "24:00"}, "freeze.from", "24:00"),
        ({"days": ("Fri",), "end": "24:01"}, "freeze.to", "24:01"),
        ({"days": ("Fri",), "end": "08:00\n"}, "freeze.to", "08:00"),
        ({}, "freeze.from", "00:00"),
        ({"start": "Fri 16:00", "end": "08:00"}, "freeze.to", "08:00"),
        ({"start": "Fri 16:00", "end": "Fri 16:00"}, "freeze.to", "Fri 16:00"),
        ({"start": "2026-02-30T00:00", "end": "2027-01-01T00:00"}, "freeze.from", "2026-02-30T00:00"),
        ({"start": "2026-12-20T00:00Z", "end": "2027-01-01T00:00"}, "freeze.from", "2026-12-20T00:00Z"),
        ({"start": "2026-12-20T00:00", "end": "2026-12-20T00:00"}, "freeze.to", "2026-12-20T00:00"),
        ({"start": "9999-12-20T00:00", "end": "9999-12-21T00:00"}, "freeze.from", "9999-12-20T00:00"),
    ],
)
def test_what_is_no_window_is_refused_by_field_and_value(values: dict[str, object], field: str, value: str) -> None:
    arguments: dict[str, object] = {"time_zone": BERLIN, **values}
    with pytest.raises(InvalidInput) as refused:
        Freeze(**arguments)  # type: ignore[arg-type]  # as a document might have them
    assert refused.value.field == field
    assert value in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("freezes", "never"),
    [
        ([Freeze("UTC", days=DAYS)], True),
        ([Freeze("UTC", "08:00", "08:00", DAYS)], True),
        ([Freeze("UTC", "08:00", "20:00", DAYS), Freeze("UTC", "20:00", "08:00", DAYS)], True),
        ([Freeze("UTC", "Fri 16:00", "Fri 15:59")], False),
        ([Freeze("UTC", "Fri 16:00", "Mon 08:00"), Freeze("UTC", "Mon 08:00", "Fri 16:00")], True),
        ([Freeze("UTC", "Fri 16:00", "Mon 08:00"), Freeze(BERLIN, "Mon 08:00", "Fri 16:00")], False),
        ([Freeze("UTC", "08:00", "20:00", DAYS)], False),
        ([HOLIDAYS], False),
        ([], False),
    ],
)
def test_windows_that_fill_the_week_never_end(freezes: list[Freeze], never: bool) -> None:  # noqa: FBT001 - expected
    assert never_ends(freezes) is never


TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
DAILY = st.builds(
    Freeze,
    st.sampled_from(ZONES),
    TIMES,
    TIMES | st.just("24:00"),
    st.sets(st.sampled_from(DAYS), min_size=1).map(tuple),
)
A_WEEKLY_TIME = st.builds("{} {}".format, st.sampled_from(DAYS), TIMES)
WEEKLY = (
    st.tuples(st.sampled_from(ZONES), A_WEEKLY_TIME, A_WEEKLY_TIME)
    .filter(lambda f: f[1] != f[2])
    .map(lambda f: Freeze(*f))
)
# Around both changes of the clock, on both hemispheres, and in quiet times.
MOMENTS = st.integers(0, 365 * 86_400).map(lambda seconds: utc("2026-01-01T00:00") + timedelta(seconds=seconds))


def minutes_of_week(local: datetime) -> int:
    return local.weekday() * 1440 + local.hour * 60 + local.minute


def shows_a_time_inside(freeze: Freeze, moment: datetime) -> bool:
    """Read the wall clock, and nothing else."""
    at = minutes_of_week(moment.astimezone(ZoneInfo(freeze.time_zone)))
    starts, length = freeze.week()
    return any((at - start) % 10_080 < length for start in starts)


def is_quiet(freeze: Freeze, moment: datetime) -> bool:
    """Whether the clock does not change for more than a week around."""
    zone = ZoneInfo(freeze.time_zone)
    offsets = {(moment + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(-9, 10)}
    return len(offsets) == 1


@given(DAILY | WEEKLY, MOMENTS)
def test_a_window_is_what_the_wall_clock_shows(freeze: Freeze, now: datetime) -> None:
    assume(is_quiet(freeze, now))
    assert (freeze.until(now) is not None) == shows_a_time_inside(freeze, now)


@given(DAILY | WEEKLY, MOMENTS)
def test_whenever_the_wall_clock_shows_a_time_inside_it_is_frozen(freeze: Freeze, now: datetime) -> None:
    assume(shows_a_time_inside(freeze, now))
    assert freeze.until(now) is not None


@given(DAILY | WEEKLY, MOMENTS)
def test_a_freeze_ends_after_now_and_is_over_then(freeze: Freeze, now: datetime) -> None:
    ends = freeze.until(now)
    assume(ends is not None and not never_ends((freeze,)))
    assert ends is not None
    assert ends > now
    assert freeze.until(ends) is None
    assert freeze.until(ends - timedelta(seconds=1)) == ends
    assert thawed((freeze,), ends) == ends


@given(DAILY | WEEKLY, MOMENTS)
def test_the_last_end_is_not_after_now_and_was_an_end(freeze: Freeze, now: datetime) -> None:
    last = thawed((freeze,), now)
    assert last is not None
    assert last <= now
    assert freeze.until(last - timedelta(seconds=1)) is not None or not is_quiet(freeze, last)
