"""Contrast of the tokens, computed as WCAG 2.2 defines it, in both themes and in print."""

from __future__ import annotations

import re

import pytest

from relto.web.served import read_package_file

SHEET = read_package_file("app.css").decode()
Tokens = dict[str, str]


def tokens(selector: str, sheet: str = SHEET) -> Tokens:
    block = sheet[sheet.index(selector) :]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block[: block.index("}")]))


NIGHT, DAY = tokens('[data-theme="night"] {'), tokens('[data-theme="day"] {')
PRINT = tokens("[data-theme] {", SHEET[SHEET.index("@media print") :])
THEMES = pytest.mark.parametrize("theme", [NIGHT, DAY], ids=["night", "day"])


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT = [
    *((text, ground) for text in ("tx", "t2", "t3") for ground in ("bg", "s1", "s2")),
    *((text, "s3") for text in ("tx", "t2")),
    *((text, ground) for text in ("tx", "t2", "ac") for ground in ("acbg", "s1", "bg")),
    *((text, ground) for text in ("tx", "t2") for ground in ("okbg", "critbg")),
    *((text, "s1") for text in ("crit", "high", "med", "low", "ok", "markx")),
    *((text, "bg") for text in ("high", "ok")),
    *((text, ground) for text in ("high", "markx") for ground in ("s1", "acbg")),
    ("markx", "mark"),
    ("acx", "ac"),
    ("critx", "crit"),
    ("t3", "bg"),
    *((f"v{step}x", f"v{step}") for step in (1, 2, 3, 4)),
    ("seax", "sea"),
    ("gridx", "sea"),
    ("ac", "sea"),
]
GLYPH = [
    *((mark, "sea") for mark in ("calm", "high", "crit", "ring")),
    *((mark, "land") for mark in ("calm", "high", "crit", "ring")),
    *((mark, ground) for mark in ("ok", "ac", "crit", "high", "low") for ground in ("s1", "acbg", "bg")),
    ("ok", "okbg"),
    ("crit", "critbg"),
]


@THEMES
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_can_be_read(theme: Tokens, text: str, ground: str) -> None:
    assert contrast(theme[text], theme[ground]) >= 4.5


@THEMES
@pytest.mark.parametrize(("mark", "ground"), GLYPH)
def test_glyphs_and_the_focus_ring_can_be_seen(theme: Tokens, mark: str, ground: str) -> None:
    assert contrast(theme[mark], theme[ground]) >= 3.0


def test_views_climb_in_one_direction_of_lightness() -> None:
    for theme, sign in ((NIGHT, 1), (DAY, -1)):
        steps = [contrast(theme[f"v{step}"], "#000000") for step in (1, 2, 3, 4)]
        assert [sign * step for step in steps] == sorted(sign * step for step in steps)


def test_paper_takes_the_day_theme_whole() -> None:
    assert PRINT == DAY
    assert NIGHT.keys() == DAY.keys()


def test_no_colour_stands_outside_the_tokens() -> None:
    rules = re.sub(r"--\w+: #[0-9a-f]{6};", "", SHEET)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*;)", rules) == ["#ffffff"]  # the paper itself


def test_every_token_that_is_used_is_defined() -> None:
    used = set(re.findall(r"var\(--(\w+)\)", SHEET))
    assert used - {"sans", "mono", "side"} <= NIGHT.keys()


def test_nothing_is_smaller_than_eleven_pixels() -> None:
    assert min(float(size) for size in re.findall(r"(?:font-size: |font: (?:italic )?\d{3} )([\d.]+)px", SHEET)) >= 11
