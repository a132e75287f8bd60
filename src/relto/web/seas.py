"""Names on the water that ship with a node; a node may bring its own set instead.

The set holds names of the International Hydrographic Organization's S-23 (1953), without those that a member state
has asked the organisation to change. No boundary comes with a name.
"""

from __future__ import annotations

from relto.web.messages import Messages
from relto.web.viewport import E7
from relto.web.views import SeaName

# key in the catalogue, latitude, longitude, narrowest and widest chart in degrees, large
_SEAS = (
    ("pacific", 8.0, 160.0, 40.0, 360.0, True),
    ("indian", -12.0, 80.0, 40.0, 360.0, True),
    ("philippine", 19.0, 130.5, 12.0, 90.0, True),
    ("south_china", 14.2, 114.3, 10.0, 70.0, True),
    ("east_china", 28.8, 125.0, 8.0, 60.0, True),
    ("bengal", 14.0, 88.5, 10.0, 90.0, True),
    ("arabian", 15.0, 65.0, 16.0, 120.0, True),
    ("coral", -17.5, 153.5, 12.0, 90.0, True),
    ("tasman", -38.0, 160.0, 16.0, 120.0, True),
    ("bering", 57.5, -178.0, 16.0, 120.0, True),
    ("okhotsk", 54.0, 149.0, 14.0, 120.0, True),
    ("yellow", 36.0, 123.2, 4.0, 40.0, False),
    ("andaman", 10.5, 95.6, 4.0, 36.0, False),
    ("thailand", 9.8, 101.6, 3.0, 30.0, False),
    ("sulu", 8.4, 120.2, 3.0, 36.0, False),
    ("celebes", 3.4, 122.3, 3.0, 36.0, False),
    ("java", -5.0, 110.8, 3.0, 36.0, False),
    ("flores", -7.6, 120.6, 3.0, 26.0, False),
    ("banda", -5.6, 127.2, 3.0, 36.0, False),
    ("molucca", 0.7, 125.6, 2.0, 18.0, False),
    ("ceram", -2.4, 128.6, 2.0, 16.0, False),
    ("timor", -11.2, 127.2, 4.0, 36.0, False),
    ("arafura", -9.3, 134.6, 5.0, 40.0, False),
    ("bismarck", -4.0, 147.8, 4.0, 26.0, False),
    ("solomon", -8.0, 154.0, 4.0, 26.0, False),
    ("carpentaria", -13.8, 138.8, 4.0, 30.0, False),
    ("malacca", 4.0, 99.8, 1.5, 14.0, False),
    ("makassar", -1.8, 118.2, 2.0, 18.0, False),
)


def sea_names(messages: Messages) -> tuple[SeaName, ...]:
    """Return the shipped names in the language of the catalogue."""
    return tuple(
        SeaName(messages.text(f"sea.{key}"), round(lat * E7), round(lon * E7), narrowest, widest, large)
        for key, lat, lon, narrowest, widest, large in _SEAS
    )
