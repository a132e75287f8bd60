"""What the pages say: every key has its words, every word has its use, and figures read as they should."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relto.clock import DAY_MS, HOUR_MS, parse_utc
from relto.web import views
from relto.web.horizon import horizon
from relto.web.messages import LANGUAGES, messages
from relto.web.notation import course, position, shown
from relto.web.views import PartnerRow

WORDS = messages("en")
FOLDER = files("relto.web")
TEMPLATES = "".join(
    part.read_text("utf-8") for part in FOLDER.joinpath("templates").iterdir() if part.name.endswith("html")
)
CODE = "".join(part.read_text("utf-8") for part in FOLDER.iterdir() if part.name.endswith(".py"))


@pytest.mark.parametrize(
    ("prefix", "choices"),
    [
        ("view", views.View),
        ("view_means", views.View),
        ("verdict", views.Verdict),
        ("step", views.Glyph),
        ("state", views.State),
        ("source", views.Source),
        ("links", views.Link),
        ("standing", views.Standing),
        ("strength", views.Strength),
        ("strength_means", views.Strength),
    ],
)
def test_every_fixed_choice_has_its_words(prefix: str, choices: object) -> None:
    assert {f"{prefix}.{choice}" for choice in get_args(choices)} <= WORDS.entries.keys()


def test_every_key_that_a_template_names_exists() -> None:
    for key in re.findall(r"\bt\('([a-z_.]+)'[,)]", TEMPLATES):
        assert key in WORDS.entries
    for key in re.findall(r"\bn\('([a-z_.]+)'[,)]", TEMPLATES):
        assert {f"{key}.one", f"{key}.other"} <= WORDS.entries.keys()


def test_every_entry_has_a_use() -> None:
    named = set(re.findall(r"['\"]([a-z_]+(?:\.[a-z_]+)+)\.?['\"]", TEMPLATES + CODE))
    families = set(re.findall(r"['\"]f?([a-z_.]+\.)(?:['\"]\s*~|\{)", TEMPLATES + CODE))
    for key in WORDS.entries:
        stem = key.removesuffix(".one").removesuffix(".other")
        assert stem in named or any(key.startswith(family) for family in families), key


def test_every_language_has_every_key_with_the_same_places() -> None:
    for language in LANGUAGES:
        entries = messages(language).entries
        assert entries.keys() == WORDS.entries.keys()
        for key, text in entries.items():
            assert set(re.findall(r"\{(\w+)", text)) == set(re.findall(r"\{(\w+)", WORDS.entries[key])), key


def test_an_unknown_language_reads_english_and_an_unknown_key_is_an_error() -> None:
    assert messages("xx").language == "en"
    with pytest.raises(KeyError):
        WORDS.text("no.such.key")


def test_a_value_with_braces_is_not_read_as_a_place() -> None:
    assert WORDS.text("row.from", origin="{origin.__class__}") == "from {origin.__class__}"


@pytest.mark.parametrize(
    ("past_ms", "words"),
    [
        (0, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (HOUR_MS, "1 h"),
        (131 * 60_000, "2 h 11"),
        (DAY_MS - 1, "23 h 59"),
        (DAY_MS, "1 d"),
        (4000 * DAY_MS, "4,000 d"),
        (-1, "ahead of this clock"),
    ],
)
def test_ages_are_told_in_the_units_that_matter(past_ms: int, words: str) -> None:
    assert WORDS.age(10**12 - past_ms, 10**12) == words


@pytest.mark.parametrize(
    ("left_ms", "words"),
    [(1, "ends in 1 day"), (DAY_MS, "ends in 1 day"), (DAY_MS + 1, "ends in 2 days"), (60 * DAY_MS, "ends in 60 days")],
)
def test_an_end_that_is_near_is_told_in_days(left_ms: int, words: str) -> None:
    now_ms = parse_utc("2026-11-23T00:00:00Z")
    assert WORDS.ends(now_ms + left_ms, now_ms) == words
    assert WORDS.ends(now_ms + 61 * DAY_MS, now_ms) == "23 Jan 2027"
    assert WORDS.ends(now_ms, now_ms) == "ended 23 Nov 2026"
    assert WORDS.ends(None, now_ms) == "no end date"


@pytest.mark.parametrize(
    ("lat_e7", "lon_e7", "words"),
    [
        (108_600_000, 1_164_200_000, "10°51.6′N 116°25.2′E"),
        (-1, -1, "00°00.0′S 000°00.0′W"),
        (0, 0, "00°00.0′N 000°00.0′E"),
        (109_999_999, 1_799_999_999, "11°00.0′N 180°00.0′E"),
        (-900_000_000, -1_800_000_000, "90°00.0′S 180°00.0′W"),
    ],
)
def test_positions_are_degrees_and_minutes_and_never_sixty_minutes(lat_e7: int, lon_e7: int, words: str) -> None:
    assert position(lat_e7, lon_e7) == words


@given(st.integers(-900_000_000, 900_000_000), st.integers(-1_800_000_000, 1_800_000_000))
def test_a_position_reads_back_to_within_its_last_digit(lat_e7: int, lon_e7: int) -> None:
    for text, angle_e7 in zip(position(lat_e7, lon_e7).split(), (lat_e7, lon_e7), strict=True):
        degrees, rest = text[:-1].split("°")
        value = int(degrees) + float(rest.removesuffix("′")) / 60
        assert abs(value - abs(angle_e7) / 1e7) <= 0.05 / 60 + 1e-9
        assert (text[-1] in "SW") == (angle_e7 < 0)


@pytest.mark.parametrize(("ddeg", "words"), [(0, "000°"), (624, "062°"), (625, "063°"), (3599, "000°"), (1800, "180°")])
def test_courses_have_three_digits(ddeg: int, words: str) -> None:
    assert course(ddeg) == words


@given(st.text())
def test_nothing_is_left_that_could_deceive_and_plain_text_is_untouched(text: str) -> None:
    assert shown(shown(text)) == shown(text)
    assert not set(shown(text)) & {"\u202e", "\u2066", "\u200b", "\u200f", "\x00", "\ufeff"}
    if text.isascii() and text.isprintable():
        assert shown(text) == text


def test_ends_stand_on_the_line_in_order_and_names_do_not_collide() -> None:
    now_ms = parse_utc("2026-11-23T00:00:00Z")
    rows = tuple(
        PartnerRow(name, name, "", (), "AG", None if days is None else now_ms + days * DAY_MS)
        for name, days in (("C", 200), ("A", 20), ("B", 30), ("never", None), ("past", -3), ("beyond", 900))
    )
    line = horizon(rows, now_ms, WORDS)
    assert [mark.words.split()[0] for mark in line.marks] == ["A", "B", "C"]
    assert [mark.level for mark in line.marks] == [0, 1, 0]
    assert [mark.soon for mark in line.marks] == [True, True, False]
    assert [tick.words for tick in line.ticks[:4]] == ["now", "Jan 2027", "Mar", "May"]
    assert all(0 <= tick.percent <= 100 for tick in line.ticks)
