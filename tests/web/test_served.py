"""Files that pages refer to: a fixed table, small, whole, and named with their licences."""

from __future__ import annotations

import gzip
import re

import pytest

from relto.web.served import PREFIX, address, asset, assets, read_package_file


@pytest.mark.parametrize(
    "path",
    [
        "",
        "app.css",
        "../views.py",
        "../../../../etc/passwd",
        "000000000000/app.css",
        "/app.css",
        "SOURCES.md",
        "land_10m.path",
        "%2e%2e/views.py",
        "app.css\x00",
    ],
)
def test_only_the_table_is_served(path: str) -> None:
    assert asset(path) is None
    release = next(iter(assets())).split("/")[0]
    assert asset(f"{release}/{path}") is None or path == "app.css"


def test_every_address_leads_to_its_file_and_changes_with_it() -> None:
    for path, one in assets().items():
        assert asset(path) is one
        assert address(path.split("/")[1]) == PREFIX + path
        assert re.fullmatch(r'"[0-9a-f]{32}"', one.etag)
        assert one.gzipped is None or gzip.decompress(one.gzipped) == one.body
        assert one.gzipped is None or one.gzipped_etag != one.etag
    assert len({one.etag for one in assets().values()}) == len(assets())


def test_an_unknown_name_cannot_be_written_into_a_page() -> None:
    with pytest.raises(KeyError):
        address("jquery.js")


def test_the_style_sheet_loads_only_files_that_are_served() -> None:
    sheet = read_package_file("app.css").decode()
    wanted = set(re.findall(r'url\("?([^")]+)"?\)', sheet))
    assert wanted == {path.split("/")[1] for path in assets() if path.endswith("woff2")}
    assert "@import" not in sheet
    assert "http" not in sheet


def test_the_script_is_small_and_evaluates_nothing() -> None:
    script = read_package_file("app.js").decode()
    assert len(script.encode()) < 10_000
    assert not re.search(
        r"eval\(|new Function|innerHTML\s*=[^=]|outerHTML|insertAdjacentHTML|document\.write|https?:", script
    )
    assert not re.search(r"set(?:Timeout|Interval)\(\s*[\"'`]", script)


def test_what_is_shipped_fits_its_budget() -> None:
    assert sum(len(one.body) for one in assets().values()) < 200_000
    assert sum(len(one.body) for one in assets().values() if one.media_type == "font/woff2") < 110_000


def test_every_file_from_elsewhere_is_named_with_its_licence() -> None:
    sources = read_package_file("SOURCES.md").decode()
    for name in ("land_10m.path", "land_50m.path", "plex-sans", "plex-mono", "OFL-sans.txt", "OFL-mono.txt"):
        assert name in sources
    for name in ("OFL-sans.txt", "OFL-mono.txt"):
        assert b"SIL Open Font License, Version 1.1" in read_package_file(name)
