"""What headers say of limits, in every form that servers write it."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.client.headers import RateHeaders, Window, duration, limits_in, retry_after, wait_in

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "5s"}, 5.0),
        ({"retry-after": "5 seconds"}, 5.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "20ms"}, 0.02),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "3, 3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "121"}, 121.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "-5s"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 1000, usegmt=True)}, 0.0),
        ({"retry-after": "2023-11-14T22:13:40Z"}, 20.0),
        ({"retry-after": "2023-11-14T22:13:40"}, 20.0),
        ({"retry-after": "2023-11-14T23:13:40+01:00"}, 20.0),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after": "0001-01-01T00:00:00+14:00"}, 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, parts of them, durations, dates; what is none of these says nothing."""
    assert expected == retry_after(headers, now=NOW)


def test_a_date_counts_from_now() -> None:
    """The clock of this machine, where none is given."""
    assert 59 < (retry_after({"retry-after": formatdate(time.time() + 61, usegmt=True)}) or 0) <= 61


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1m30s", 90.0),
        ("41.724s", 41.724),
        ("20ms", 0.02),
        ("20 milliseconds", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("5 minutes", 300.0),
        ("1 MINUTE 30 seconds", 90.0),
        ("1 hour", 3600.0),
        ("5", None),
        ("s", None),
        ("5 sheep", None),
        ("5s later", None),
        ("-5s", None),
        ("9" * 400 + "s", None),
        ("", None),
    ],
)
def test_a_duration_is_a_sum_of_numbers_with_units(text: str, expected: float | None) -> None:
    """A bare number is none, nor is a text that holds one."""
    found = duration(text)
    assert expected == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rate limit reached. Please try again in 41.724s.", 41.724),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 1m30s. Visit our site", 90.0),
        ("Please try again in 6m0s", 360.0),
        ("Please retry after 20 seconds.", 20.0),
        ("Please retry in 5.5s.", 5.5),
        ("Try Again\n In 5 minutes", 300.0),
        ("try again in a while, or try again in 3s", 3.0),
        ("try again later", None),
        ("we will try in 5s", None),
    ],
)
def test_a_sentence_may_say_how_long(text: str, expected: float | None) -> None:
    """ "try again in", "retry in" and "retry after", in any case and over line ends."""
    assert expected == wait_in(text)


def test_a_sentence_can_be_asked_for_one_wording() -> None:
    """What says "retry in" is not taken for "try again in"."""
    assert wait_in("retry in 5s", only="try again") is None
    assert 5.0 == wait_in("retry in 7s, try again in 5s", only="try again")


OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
TOAPIS = {
    "X-RateLimit-Limit": "300",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": str(int(NOW) + 42),
    "X-RateLimit-Category": "task_submit",
}


def test_the_allowances_of_openai_and_of_toapis() -> None:
    """Limits, what is left and when it is whole again, as numbers."""
    assert limits_in(OPENAI, now=NOW) == RateHeaders(
        {"requests": Window(60.0, 59.0, 1.0), "tokens": Window(150_000.0, 0.0, 360.0)}
    )
    assert limits_in(TOAPIS, now=NOW) == RateHeaders({"requests": Window(300.0, 0.0, 42.0)}, "task_submit")
    assert RateHeaders() == limits_in({"content-type": "text/html", "x-ratelimits-limit": "5"}, now=NOW)
    days = {"x-ratelimit-limit-tokens-day": "5", "ratelimit-limit": "7, 7;w=60"}
    assert {"tokens-day": Window(5.0), "requests": Window(7.0)} == limits_in(days, now=NOW).windows


def test_only_an_allowance_that_is_used_up_asks_for_a_wait() -> None:
    """And of several the one that takes longest."""
    assert 360.0 == limits_in(OPENAI, now=NOW).wait
    assert 360.0 == limits_in(OPENAI | {"x-ratelimit-remaining-requests": "0"}, now=NOW).wait
    assert limits_in(OPENAI | {"x-ratelimit-remaining-tokens": "1"}, now=NOW).wait is None
    assert limits_in({"x-ratelimit-remaining": "0"}, now=NOW).wait is None


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("12", 12.0),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("17ms", 0.017),
        (str(NOW + 90), 90.0),
        (str(int(NOW + 90) * 1000), 90.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        ("2023-11-14T22:13:40Z", 20.0),
        ("0", None),
        ("-1", None),
        ("0s", None),
        (str(NOW - 90), None),
        (formatdate(NOW - 90, usegmt=True), None),
        ("86400", 86_400.0),
        ("86401", None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_is_a_duration_or_a_point_in_time(reset: str, expected: float | None) -> None:
    """Seconds, durations, seconds or milliseconds since 1970, dates; what is past or over a day away is left out."""
    window = limits_in({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, now=NOW).windows["requests"]
    assert expected == (None if window.reset is None else pytest.approx(window.reset))


@pytest.mark.parametrize("limit", ["-1", "0", "nan", "none", ""])
def test_a_window_without_a_limit_that_can_be_is_garbage_altogether(limit: str) -> None:
    """Azure says -1 or 0 of limit and rest alike."""
    headers = {"x-ratelimit-limit-tokens": limit, "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9"}
    assert {} == limits_in(headers, now=NOW).windows
    assert {} == limits_in({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "-1"}, now=NOW).windows


@given(text=st.text(alphabet="0123456789 ,:/+-.aeWGMTOctedZ_\x00msh١") | st.text())
def test_no_value_is_a_crash_and_every_wait_is_a_number(text: str) -> None:
    """Whatever a header holds."""
    found = [retry_after({"retry-after": text, "retry-after-ms": text[1:]}), duration(text), wait_in(text)]
    found += [limits_in({"x-ratelimit-remaining": "0", "x-ratelimit-reset": text}).wait]
    assert all(seconds is None or 0 <= seconds < float("inf") for seconds in found)
