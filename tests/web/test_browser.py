"""The pages in a real Chromium, under their own headers: nothing blocked, nothing sent elsewhere, keys lead around."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from relto.web import render
from relto.web.served import PREFIX, asset
from relto.web.views import PictureView

pytestmark = pytest.mark.browser
WIDE, MIDDLE, PHONE = (1440, 900), (900, 1100), (390, 844)
SIZES = (WIDE, MIDDLE, PHONE)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
RECORD_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


def chromium_path() -> str:
    named = os.environ.get("RELTO_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:  # the build that tools/browser.sh may have installed
        with sync_playwright() as playwright:
            found = playwright.chromium.executable_path
    if not Path(found).exists():
        pytest.fail("No Chromium. Install one, or name it in RELTO_CHROMIUM; these tests are never passed over.")
    return found


@dataclass
class Watched:
    """One browser page and everything on it that must not happen."""

    page: Page
    origin: str
    scripted: bool = True
    complaints: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.origin + path)
        if self.page.url.startswith(self.origin) and self.scripted:
            self.page.evaluate("document.fonts.ready.then(() => true)")

    def resize(self, size: tuple[int, int]) -> None:
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def note(self, request: Request) -> None:
        self.fetched.append(request.url)
        if not request.url.startswith((self.origin, "data:")):
            self.complaints.append(f"request to {request.url}")

    def note_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the icon may still be on its way when the next page opens
            self.complaints.append(f"failed {request.url}: {request.failure}")

    def faults(self) -> list[str]:
        return self.complaints + list(self.page.evaluate("window.violations"))

    def focus(self) -> str:
        found = self.page.evaluate(
            "(document.activeElement.dataset.key ?? document.activeElement.id) || document.activeElement.className"
        )
        return str(found)


Watch = Callable[..., Watched]


@pytest.fixture(scope="module")
def origin(drawn: dict[str, str], follow: Callable[[dict[str, str]], PictureView]) -> Iterator[str]:
    def picture(asked: Asked) -> Response:
        view = follow(dict(asked.query_params))
        theme = asked.query_params.get("theme", asked.cookies.get("relto-theme", "night"))
        shell = replace(view.shell, theme="day" if theme == "day" else "night")
        return HTMLResponse(render.picture(replace(view, shell=shell)), headers=dict(render.HEADERS))

    def page(name: str) -> Callable[[Asked], Response]:
        return lambda _: HTMLResponse(drawn[name], headers=dict(render.HEADERS))

    def file(asked: Asked) -> Response:
        found = asset(asked.path_params["path"])
        if found is None:
            return Response(status_code=404, headers=dict(render.HEADERS))
        return Response(found.body, media_type=found.media_type, headers={**render.ASSET_HEADERS, "etag": found.etag})

    broken = "<!doctype html><title>x</title><p style='color:red'>x<script>document.title='ran'</script>"
    routes = [
        Route("/", picture),
        *(Route(f"/{name.replace(' ', '-')}", page(name)) for name in drawn),
        Route("/broken", lambda _: HTMLResponse(broken, headers=dict(render.HEADERS))),
        Route(PREFIX + "{path:path}", file),
    ]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def watch(browser: Browser, origin: str) -> Iterator[Watch]:
    """Open watched pages: ``watch(size, script=True)``."""
    contexts: list[BrowserContext] = []

    def opened(size: tuple[int, int] = WIDE, *, script: bool = True, **more: Any) -> Watched:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, java_script_enabled=script, **more
        )
        contexts.append(context)
        context.add_init_script(RECORD_VIOLATIONS)
        watched = Watched(context.new_page(), origin, script)
        watched.page.on("request", watched.note)
        watched.page.on("requestfailed", watched.note_failure)
        watched.page.on("pageerror", lambda error: watched.complaints.append(f"error {error}"))
        watched.page.on(
            "console",
            lambda said: watched.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        return watched

    yield opened
    for context in contexts:
        context.close()


def test_every_page_keeps_its_own_rules_and_fits_every_window(watch: Watch, drawn: dict[str, str]) -> None:
    watched = watch()
    for path in ["", "?theme=day", *(name.replace(" ", "-") for name in drawn)]:
        watched.open(f"/{path}")
        assert watched.faults() == [], path
        for size in SIZES:
            watched.resize(size)
            over = watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, (path, size)


def test_the_watch_itself_sees_a_broken_rule(watch: Watch) -> None:
    watched = watch()
    watched.open("/broken")
    assert watched.page.title() == "x"
    assert {fault.split()[0] for fault in watched.page.evaluate("window.violations")} == {
        "script-src-elem",
        "style-src-attr",
    }
    assert watched.complaints != []


def test_both_themes_draw_a_picture_in_every_window(watch: Watch) -> None:
    watched = watch()
    shots = []
    for theme in ("night", "day"):
        watched.open(f"/?theme={theme}")
        for size in SIZES:
            watched.resize(size)
            shots.append(watched.page.screenshot())
    assert all(len(shot) > 25_000 for shot in shots)
    assert len(set(shots)) == 2 * len(SIZES)


def test_the_map_draws_land_symbols_and_fonts(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    page = watched.page
    land = page.locator("use.land").bounding_box()
    assert land is not None
    assert land["width"] > 600
    assert page.evaluate("document.fonts.check('13px \"IBM Plex Sans\"') && document.fonts.size") == 5
    assert page.evaluate("getComputedStyle(document.querySelector('use.land')).fill") == "rgb(42, 50, 56)"
    boxes = [box for box in (one.bounding_box() for one in page.locator("a.c").all()) if box]
    assert len(boxes) == 4
    pane = page.locator(".pane").bounding_box()
    assert pane is not None
    assert all(pane["x"] < box["x"] < pane["x"] + pane["width"] for box in boxes)


def test_keys_lead_through_the_page(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    keyboard = watched.page.keyboard
    keyboard.press("Tab")
    assert watched.focus() == "skip"
    keyboard.press("Enter")
    assert watched.focus() == "main"
    visited = []
    for _ in range(24):
        keyboard.press("Tab")
        visited.append(watched.focus())
        outline = watched.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or watched.focus() == "", visited
    assert [one for one in visited if one.startswith("r:")] == ["r:A-2291", "r:A-2279"]
    assert "m:closer" in visited
    assert [one for one in visited if one.startswith("p:")] == ["p:BAY", "p:CAL", "p:DVI", "p:FEN"]
    assert not [one for one in visited if "stale" in one or one.startswith("c ")], "contacts are reached by the list"
    assert watched.faults() == []


def test_single_keys_move_search_and_can_be_turned_off(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    page, keyboard = watched.page, watched.page.keyboard
    keyboard.press("j")
    assert watched.focus() == "r:A-2279"
    keyboard.press("k")
    assert watched.focus() == "r:A-2291"
    keyboard.press("/")
    assert watched.focus() == "q"
    keyboard.type("jt?")
    assert page.input_value("#q") == "jt?"
    keyboard.press("Escape")
    keyboard.press("t")
    assert page.inner_text("#zone").startswith("UTC · ")
    keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.uncheck("#single-keys")
    page.click("#keys button")
    keyboard.press("/")
    assert watched.focus() != "q"
    assert watched.faults() == []


def test_choosing_a_partner_changes_the_reason_in_place(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    page = watched.page
    page.evaluate("window.region = document.querySelector('#why')")
    page.click("[data-key='p:FEN']")
    expect(page.locator("#why")).to_contain_text("Fenwick sees")
    assert "party=FEN" in page.url
    assert page.evaluate("window.region === document.querySelector('#why') && window.region.ariaLive") == "polite"
    assert watched.focus() == "p:FEN"
    page.go_back()
    expect(page.locator("#why")).to_contain_text("Dvipa sees")
    assert watched.faults() == []


def test_wheel_and_drag_move_the_chart_and_the_address(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    page = watched.page

    pane = page.locator(".pane")
    before = pane.get_attribute("data-side") or ""
    page.mouse.move(900, 300)
    under = page.inner_text("[data-place]")
    page.mouse.wheel(0, -240)
    expect(pane).not_to_have_attribute("data-side", before)
    assert float(pane.get_attribute("data-side") or 0) == pytest.approx(float(before) / 2, rel=1e-3)
    assert "area=" in page.url
    page.mouse.move(901, 300)
    page.mouse.move(900, 300)
    assert page.inner_text("[data-place]") == under, "the place under the pointer stays"
    middle = pane.get_attribute("data-lon") or ""
    page.mouse.down()
    page.mouse.move(800, 400, steps=4)
    page.mouse.up()
    expect(pane).not_to_have_attribute("data-lon", middle)
    page.mouse.move(801, 400)
    page.mouse.move(800, 400)
    assert page.inner_text("[data-place]") == under, "the chart goes with the pointer"
    assert watched.faults() == []


def test_the_theme_stays_chosen(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    watched.page.click(".theme")
    assert watched.page.get_attribute("html", "data-theme") == "day"
    watched.open("/")
    assert watched.page.get_attribute("html", "data-theme") == "day"
    assert watched.faults() == []


def test_a_lost_node_is_said_and_the_last_picture_stays(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    watched.page.route("**/*", lambda route: route.abort())
    watched.page.evaluate("document.body.dataset.refresh = '0.001'")
    expect(watched.page.locator("#live")).to_contain_text("Reconnecting, showing ")
    assert watched.page.locator("a.c").count() == 4


def test_without_a_script_everything_is_a_link(watch: Watch) -> None:
    watched = watch(script=False)
    watched.open("/")
    page = watched.page
    page.click(".steer .closer")
    assert "area=" in page.url
    page.click("[data-key='p:FEN']")
    assert "Fenwick sees" in page.inner_text("#why")
    assert not page.locator("button").first.is_visible()
    assert not [url for url in watched.fetched if url.endswith(".js") and "app.js" not in url]


def test_on_a_phone_the_foot_chooses_the_panel_without_a_script(watch: Watch) -> None:
    watched = watch(PHONE, script=False)
    watched.open("/")
    page = watched.page
    assert page.locator("#card").is_visible()
    assert not page.locator("#records").is_visible()
    for panel, other in (("records", "card"), ("card", "records"), ("map", "card")):
        page.click(f".tabs a[href='#{panel}']")
        assert page.locator(f"#{panel}").is_visible()
        assert not page.locator(f"#{other}").is_visible()
    page.click(".tabs a[href='#nav']")
    assert page.locator("#nav a").first.is_visible()
    boxes = [one.bounding_box() for one in page.locator(".tabs a, .steer a").all()]
    assert all(box is None or box["height"] >= 36 for box in boxes)


def test_the_lite_page_fetches_a_style_sheet_and_no_more(watch: Watch) -> None:
    watched = watch()
    watched.open("/?lite=1")
    assert [url.rsplit("/", 1)[1] for url in watched.fetched[1:] if not url.endswith("icon.svg")] == ["app.css"]
    assert watched.faults() == []


def test_on_paper_the_marking_stands_on_every_sheet_in_the_day_theme(watch: Watch) -> None:
    watched = watch()
    watched.open("/")
    page = watched.page
    page.emulate_media(media="print")
    for index, display in ((0, "table-header-group"), (1, "table-footer-group")):
        marking = page.locator(".marking").nth(index)
        expect(marking).to_have_css("display", display)
        expect(marking).to_have_css("break-inside", "avoid")
        expect(marking).to_have_text("EXERCISE · INVENTED RECORDS · NOT FOR NAVIGATION")
    assert page.evaluate("getComputedStyle(document.querySelector('#card')).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".steer").is_visible()
    assert len(page.pdf()) > 20_000
