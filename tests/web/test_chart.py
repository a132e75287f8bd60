"""What the chart draws of its contacts, and that everything on it can be reached without a script."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest

from relto.clock import HOUR_MS
from relto.web.chart import DENSITY_COLUMNS, MOST_SYMBOLS, Chart, bar_shapes, draw
from relto.web.land import DRAWING
from relto.web.messages import messages
from relto.web.seas import sea_names
from relto.web.viewport import parse_area
from relto.web.views import Activity, Area, Bar, ChartView, Contact, SeaName, State

NOW_MS = 1_795_406_300_000
WORDS = messages("en")


def contact(item_id: str, lat: float, lon: float, **changes: object) -> Contact:
    plain = Contact(item_id, round(lat * 1e7), round(lon * 1e7), "ais", NOW_MS, "Aruna", 0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def chart(*contacts: Contact, area: str = "110,5,126,21", **changes: object) -> Chart:
    view = ChartView(parse_area(area), contacts, len(contacts), query=(("party", "DVI"),))
    return draw(replace(view, **changes), NOW_MS, WORDS)  # type: ignore[arg-type]


def many(count: int, state: State = "routine") -> list[Contact]:
    random = Random(1)
    return [
        contact(
            f"C-{number}", random.uniform(6, 20), random.uniform(111, 125), state=state, observed_ms=NOW_MS - number
        )
        for number in range(count)
    ]


def counted(drawn: Chart) -> int:
    return sum(shape.path.count("M") for shape in drawn.density)


def test_up_to_the_limit_every_contact_is_a_symbol_and_past_it_they_are_counted() -> None:
    assert len(chart(*many(MOST_SYMBOLS)).symbols) == MOST_SYMBOLS
    assert chart(*many(MOST_SYMBOLS)).density == ()
    crowded = chart(*many(MOST_SYMBOLS + 1))
    assert crowded.symbols == ()
    assert 0 < counted(crowded) <= DENSITY_COLUMNS**2 * 1.5 * 1.25


def test_in_a_crowd_alerts_and_the_chosen_contact_are_still_drawn_one_by_one() -> None:
    crowd = [*many(3000), *(contact(f"W-{number}", 10, 115, state="alert") for number in range(20))]
    drawn = chart(*crowd, selected_id="C-77")
    assert len(drawn.symbols) == 21
    assert drawn.symbols[-1].selected
    assert {one.state for one in drawn.symbols[:-1]} == {"alert"}
    assert counted(drawn) > 0
    assert drawn.legend.drawn == 3020


def test_too_many_alerts_are_counted_rather_than_dropped_and_the_newest_are_kept() -> None:
    drawn = chart(*many(MOST_SYMBOLS + 200, state="alert"))
    assert len(drawn.symbols) == MOST_SYMBOLS
    assert counted(drawn) > 0
    assert "item=C-0" in drawn.symbols[-1].href
    assert not any("item=C-699" in one.href for one in drawn.symbols)


def test_density_steps_grow_with_the_count() -> None:
    crowd = [contact(f"A-{n}", 10.0, 115.0) for n in range(600)] + [contact("B", 15.0, 120.0)]
    assert [shape.kind for shape in chart(*crowd).density] == ["d1", "d5"]


def test_contacts_outside_the_frame_are_neither_drawn_nor_counted() -> None:
    drawn = chart(contact("in", 10, 115), contact("far", -30, 115), contact("farther", 10, -60))
    assert [one.words.split(",")[0] for one in drawn.symbols] == ["in"]
    assert drawn.legend.drawn == 1
    assert drawn.legend.total == 3


def test_an_arrow_points_along_the_course_and_other_sources_have_no_direction() -> None:
    drawn = chart(
        contact("ais", 10, 115, course_ddeg=624),
        contact("round", 11, 115, course_ddeg=3599),
        contact("none", 12, 115, course_ddeg=None),
        contact("rf", 13, 115, source="rf", course_ddeg=900),
    )
    assert {one.words.split(",")[0]: one.turn for one in drawn.symbols} == {"ais": 62, "round": 0, "none": 0, "rf": 0}


@pytest.mark.parametrize(("hours", "stale"), [(0, 0), (0.99, 0), (1, 1), (5.9, 1), (6, 2), (900, 2)])
def test_old_contacts_fade_in_three_steps(hours: float, stale: int) -> None:
    (symbol,) = chart(contact("A", 10, 115, observed_ms=NOW_MS - round(hours * HOUR_MS))).symbols
    assert symbol.stale == stale


def test_uncertainty_is_drawn_once_it_is_bigger_than_the_symbol() -> None:
    assert chart(contact("A", 10, 115, uncertainty_m=None)).halos == ()
    assert chart(contact("A", 10, 115, uncertainty_m=2000)).halos == ()
    (halo,) = chart(contact("A", 10, 115, uncertainty_m=60_000)).halos
    # 60 km are 0.548 degree of longitude at 10 N, on a square 16.5 degrees wide
    assert halo.radius == pytest.approx(100 * 0.548 / 16.48, rel=0.01)
    (wide,) = chart(contact("A", 10, 115, uncertainty_m=60_000_000)).halos
    assert wide.radius == 200


def test_contacts_across_the_180th_meridian_stand_side_by_side() -> None:
    drawn = chart(contact("west", -17, 179.9), contact("east", -17, -179.9), area="170,-25,190,-10")
    west, east = drawn.symbols
    assert 0 < east.right - west.right < 2


def test_choosing_a_contact_keeps_the_rest_of_the_view() -> None:
    (symbol,) = chart(contact("A-1&x=2", 10, 115)).symbols
    fields = parse_qs(urlsplit(symbol.href).query)
    assert fields["item"] == ["A-1&x=2"]
    assert fields["party"] == ["DVI"]
    assert fields["area"] == [parse_area("110,5,126,21").area]


def test_zooming_and_moving_are_links_and_end_where_the_world_ends() -> None:
    drawn = chart(contact("A", 10, 115), selected_id="A", home=parse_area("60,-40,180,50"))
    controls = drawn.controls
    assert controls.closer is not None
    closer = parse_area(parse_qs(urlsplit(controls.closer).query)["area"][0])
    assert closer.side == pytest.approx(drawn.viewport.side / 2, rel=1e-3)
    assert parse_area(parse_qs(urlsplit(controls.north).query)["area"][0]).ordinate > drawn.viewport.ordinate
    assert "item=A" in controls.east
    assert controls.home is not None
    assert chart(area="-180,-75,180,75").controls.wider is None
    assert chart(area="115,10,115.01,10.01").controls.closer is None


@pytest.mark.parametrize(
    "area", ["110,5,126,21", "-180,-75,180,75", "115,10,115.02,10.02", "170,-25,190,-10", "100,60,120,75"]
)
def test_scale_and_graticule_suit_every_zoom(area: str) -> None:
    drawn = chart(area=area)
    assert 0 < drawn.scale.percent <= 20 or drawn.scale.length_nm == 1
    grid = [one for one in drawn.words if one.kind.startswith("grad")]
    assert 2 <= len(grid) <= 30
    assert len({(one.text, one.kind) for one in grid}) == len(grid)


def test_the_graticule_is_named_in_degrees_and_minutes() -> None:
    assert {"115°E", "120°E", "10°N"} <= {one.text for one in chart().words}
    assert {"180°", "175°E", "175°W", "15°S"} <= {one.text for one in chart(area="170,-25,190,-10").words}
    assert any("°06′" in one.text or "°12′" in one.text for one in chart(area="115,10,115.5,10.5").words)


def test_a_node_may_bring_its_own_names_or_none() -> None:
    assert "Sulu Sea" in {one.text for one in chart().words}
    own = chart(seas=(SeaName("Own name", 130_000_000, 1_180_000_000),))
    assert {one.text for one in own.words if one.kind.startswith("sea")} == {"Own name"}
    assert not [one for one in chart(seas=()).words if one.kind.startswith("sea")]


def test_shipped_names_leave_out_what_is_contested_at_the_hydrographic_organization() -> None:
    assert not {"Sea of Japan", "Japan Sea", "East Sea"} & {sea.name for sea in sea_names(WORDS)}


def test_an_area_without_corners_draws_nothing() -> None:
    assert chart(areas=(Area("Empty", ()),)).outlines == ()


def test_tracks_are_dashed_across_gaps_only(chart_view: ChartView) -> None:
    drawn = draw(chart_view, NOW_MS, WORDS)
    assert [(one.kind, one.path.count("M")) for one in drawn.outlines] == [("area", 1), ("track", 1), ("track gap", 1)]


def test_the_lite_chart_draws_each_contact_in_few_bytes(chart_view: ChartView) -> None:
    contacts = tuple(many(500))
    drawn = draw(replace(chart_view, contacts=contacts, selected_id=None), NOW_MS, WORDS, lite=True)
    assert drawn.symbols == ()
    assert sum(one.path.count("M") for one in drawn.groups) == 500
    assert sum(len(one.path) for one in drawn.groups) < 500 * 24
    assert drawn.drawing < DRAWING


def test_bars_fill_the_height_with_the_fullest_and_survive_silence() -> None:
    quiet, hot = bar_shapes(Activity(0, 1, (Bar(5), Bar(0), Bar(10, 2))))
    assert quiet.path == "M1 30v-15h8v15z"
    assert hot.path == "M21 30v-30h8v30z"
    assert [shape.path for shape in bar_shapes(Activity(0, 1, (Bar(0), Bar(0))))] == ["", ""]
    assert [shape.path for shape in bar_shapes(Activity(0, 1, ()))] == ["", ""]
