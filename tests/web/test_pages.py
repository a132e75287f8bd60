"""What every page promises: it escapes, it links nowhere else, it holds no script, and it reads well aloud."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from relto.errors import InvariantError
from relto.web import render, served
from relto.web.address import local
from relto.web.views import AgreementsView, ChartView, Choice, Contact, PictureView

Page = tuple[Callable[..., str], Any]
VOID = {"meta", "link", "input", "img", "br", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></svg><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}&amp;&#60;",
    "]]><!--",
)
# fields that choose among fixed words, and addresses
NOT_TEXT = {
    "href", "clause_href", "agreement_href", "theme_href", "previous_href", "next_href", "action", "path",
    "state", "source", "view", "verdict", "glyph", "theme", "language", "strength", "standing",
}  # fmt: skip


class Seen(HTMLParser):
    """A page as a browser's parser sees it: tags in order, attributes, ids, and whether all tags close."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        twice = [name for name, count in Counter(name for name, _ in attrs).items() if count > 1]
        self.problems += [f"<{tag}> has {name} twice" for name in twice]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def poisoned(value: Any, poison: str, name: str = "") -> Any:
    """Return the value with every free text in it replaced."""
    if name in NOT_TEXT or value is None:
        return value
    if isinstance(value, str):
        return poison
    if isinstance(value, tuple):
        return tuple(poisoned(part, poison, name) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{one.name: poisoned(getattr(value, one.name), poison, one.name) for one in fields(value)}
        )
    return value


def test_every_tag_closes_where_it_should(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        assert Seen(page).problems == [], name


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_text_changes_no_tag_and_no_attribute(pages: dict[str, Page], poison: str) -> None:
    for name, (draw, view) in pages.items():
        plain, hostile = Seen(draw(poisoned(view, "plain"))), Seen(draw(poisoned(view, poison)))
        assert hostile.tags == plain.tags, name
        assert [part[:2] for part in hostile.attributes] == [part[:2] for part in plain.attributes], name
        assert poison in "".join(hostile.text), name


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\x00", "\x1b", "\ufeff", "\u200b", "\U000e0041"])
def test_text_that_reads_differently_from_what_it_says_is_written_out(pages: dict[str, Page], mark: str) -> None:
    for name, (draw, view) in pages.items():
        page = draw(poisoned(view, f"MV{mark}TSUJ"))
        assert mark not in page, name
        assert f"MV[U+{ord(mark):04X}]TSUJ" in page, name


def test_right_to_left_names_and_joiners_stay_as_they_are(picture_view: PictureView) -> None:
    name = "سفينة\u200cها က္ရ"
    assert name in render.picture(poisoned(picture_view, name))


def test_no_page_holds_a_style_an_event_or_an_inline_script(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        seen = Seen(page)
        assert not [part for part in seen.attributes if part[1] == "style" or part[1].startswith("on")], name
        assert not {"style", "iframe", "object", "embed", "base", "img"} & set(seen.tags), name
        assert re.findall(r"<script(?! src=\"/assets/[0-9a-f]{12}/app\.js\" defer></script>)", page) == [], name


def test_no_page_refers_to_another_host(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        for tag, attribute, value in Seen(page).attributes:
            if attribute in {"href", "src", "action", "formaction", "xlink:href", "srcset", "data", "poster"}:
                assert local(value) == value, (name, tag)
            assert not re.search(r"(?:https?:|^//|url\()", value), (name, tag, attribute)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://example.org/",
        "//example.org/",
        "/\\example.org",
        "/a\nb",
        "data:text/html,x",
        "",
        "a b",
        " /",
    ],
)
def test_a_link_that_leads_off_the_node_stops_the_page(picture_view: PictureView, address: str) -> None:
    shell = replace(picture_view.shell, nav=(Choice("Picture", address),))
    with pytest.raises(InvariantError):
        render.picture(replace(picture_view, shell=shell))


def test_ids_are_unique_and_every_reference_has_its_target(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        seen = Seen(page)
        ids = seen.values("id")
        assert len(ids) == len(set(ids)), name
        wanted = {value[1:] for value in seen.values("href") if value.startswith("#")}
        wanted |= {part for value in seen.values("aria-labelledby") for part in value.split()} | set(seen.values("for"))
        assert wanted <= set(ids), name


def test_tables_name_their_rows_and_columns(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        assert all('scope="col"' in cell or 'scope="row"' in cell for cell in re.findall(r"<th\b[^>]*>", page)), name
        assert page.count("<table") == page.count("<thead"), name


def test_every_page_has_one_title_and_a_way_past_the_bar(drawn: dict[str, str]) -> None:
    for name, page in drawn.items():
        assert len(re.findall(r"<h1\b", page)) == 1, name
        assert page.index('class="skip" href="#main"') < page.index('class="marking"') < page.index("<main"), name
        levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
        assert all(later <= before + 1 for before, later in pairwise(levels)), (name, levels)


def test_the_marking_stands_above_and_below_every_page(pages: dict[str, Page]) -> None:
    for name, (draw, view) in pages.items():
        page = draw(replace(view, shell=replace(view.shell, marking="SECRET//REL <ARU>")))
        assert [part.start() < page.index("<header") for part in re.finditer("SECRET//REL &lt;ARU&gt;", page)] == [
            True,
            False,
        ], name


def test_withheld_and_reduced_are_told_apart_in_words(drawn: dict[str, str]) -> None:
    page = drawn["picture"]
    assert "held back" in page
    assert '<td class="altered"><bdi>11 N 116 E</bdi></td>' in page
    assert "1 full · 1 reduced · 1 nothing" in page
    assert "Withdrawn: the originator corrected it" in page


def test_steps_stand_in_the_order_in_which_the_rules_ran(drawn: dict[str, str]) -> None:
    found = re.findall(r'<li class="step-(\w+)">', drawn["picture"])
    assert found == ["pass", "reduce", "stop", "skip"]


def test_the_matrix_refuses_cells_out_of_order(agreements_view: AgreementsView) -> None:
    row = agreements_view.rows[0]
    turned = replace(row, cells=tuple(reversed(row.cells)))
    with pytest.raises(InvariantError):
        render.agreements(replace(agreements_view, rows=(turned,)))


def test_an_agreement_that_ends_soon_says_in_how_many_days(drawn: dict[str, str]) -> None:
    page = drawn["agreements"]
    assert '<span class="soon">ends in 19 days</span>' in page
    assert "<span>no end date</span>" in page
    assert re.search(r'<text class="first soon" [^>]*>Bayu ends in 19 days</text>', page)


def test_headers_say_what_the_design_says() -> None:
    assert render.HEADERS["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert render.HEADERS["x-content-type-options"] == "nosniff"
    assert render.HEADERS["referrer-policy"] == "no-referrer"
    assert (
        render.HEADERS["cross-origin-opener-policy"] == render.HEADERS["cross-origin-resource-policy"] == "same-origin"
    )
    assert render.HEADERS["cache-control"] == "no-store"
    assert "immutable" in render.ASSET_HEADERS["cache-control"]
    assert render.ASSET_HEADERS["content-security-policy"] == render.HEADERS["content-security-policy"]


def crowd(chart: ChartView, count: int) -> ChartView:
    """Return the chart with so many contacts spread over it."""
    random = Random(5)
    many = tuple(
        Contact(
            f"C-{number:05d}",
            random.randint(50_000_000, 210_000_000),
            random.randint(1_100_000_000, 1_260_000_000),
            random.choice(("ais", "ais", "ais", "rf", "sar")),
            chart.contacts[0].observed_ms,
            "Aruna",
            random.randint(0, 3599),
        )
        for number in range(count)
    )
    return replace(chart, contacts=(*many, chart.contacts[0]), contact_total=count + 1)


def test_the_lite_page_needs_no_script_no_font_and_little(picture_view: PictureView) -> None:
    rows = tuple(replace(picture_view.rows[1], item_id=f"A-{number}") for number in range(20))
    view = replace(
        picture_view,
        shell=replace(picture_view.shell, lite=True),
        chart=crowd(picture_view.chart, 499),
        rows=(*picture_view.rows, *rows),
    )
    page = render.picture(view)
    sheet = served.assets()[served.address("app.css").removeprefix(served.PREFIX)]
    assert sheet.gzipped is not None
    assert "<script" not in page
    assert "woff2" not in page
    assert "<dialog" not in page
    assert 'class="picture has-choice lite"' in page
    assert len(gzip.compress(page.encode())) + len(sheet.gzipped) < 30_000
    assert len(page.encode()) < 60_000


def test_a_full_picture_stays_small(picture_view: PictureView) -> None:
    page = render.picture(replace(picture_view, chart=crowd(picture_view.chart, 499)))
    assert len(gzip.compress(page.encode())) < 40_000
