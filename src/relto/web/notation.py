"""How positions, courses and instants are written, the same in every language: what people read over the radio."""

from __future__ import annotations

import re

from relto.clock import format_utc
from relto.strict import FORBIDDEN_TEXT

_TENTHS_OF_MINUTE = 600
# Invisible marks that a reader cannot see and that change order or hide text; joiners stay, scripts need them.
_INVISIBLE = "[\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u2060-\u2064\u206a-\u206f\ufff9-\ufffb\U000e0000-\U000e007f]"
_DECEIVING = re.compile(f"{FORBIDDEN_TEXT.pattern}|{_INVISIBLE}")


def shown(text: str) -> str:
    """Return the text with every character that could deceive a reader written out, as in ``[U+202E]``.

    Source: Unicode Technical Report 36, section 2.
    """
    return _DECEIVING.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)


def position(lat_e7: int, lon_e7: int) -> str:
    """Return degrees and decimal minutes, as in ``10°51.6′N 116°25.2′E``; rounded to a tenth of a minute."""
    return f"{_angle(lat_e7, 2, 'NS')} {_angle(lon_e7, 3, 'EW')}"


def course(course_ddeg: int) -> str:
    """Return tenths of a degree as three whole digits, as in ``062°``."""
    return f"{(course_ddeg + 5) // 10 % 360:03d}°"


def time_of_day(instant_ms: int) -> str:
    """Return the UTC time as ``03:52:14``."""
    return format_utc(instant_ms)[11:19]


def year_month_day(instant_ms: int) -> tuple[int, int, int]:
    """Return the UTC date."""
    year, month, day = format_utc(instant_ms)[:10].split("-")
    return int(year), int(month), int(day)


def _angle(angle_e7: int, digits: int, signs: str) -> str:
    tenths = (abs(angle_e7) * _TENTHS_OF_MINUTE + 5_000_000) // 10_000_000
    degrees, minutes = divmod(tenths, _TENTHS_OF_MINUTE)
    return f"{degrees:0{digits}d}°{minutes // 10:02d}.{minutes % 10}′{signs[angle_e7 < 0]}"
