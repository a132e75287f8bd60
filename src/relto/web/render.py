"""Views to HTML. Pure but for the templates, catalogue and coast that ship with the package, read once.

Escaping is on for everything, an undefined name is an error, and text that could deceive a reader is written out
before it is escaped. No page holds an inline script, a style attribute, an event attribute or an address of another
host; ``HEADERS`` forbids them besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from relto.clock import format_utc
from relto.errors import invariant
from relto.web import chart as charts
from relto.web import served
from relto.web.address import local
from relto.web.horizon import horizon
from relto.web.messages import ends_soon, messages
from relto.web.notation import course, position, shown, time_of_day
from relto.web.views import (
    AgreementsView,
    ChartView,
    ErrorView,
    ItemPageView,
    LogView,
    PartyVerdict,
    PictureView,
    Shell,
    Verdict,
    View,
)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HEADERS: Mapping[str, str] = MappingProxyType(
    {**_ALWAYS, "content-type": "text/html; charset=utf-8", "cache-control": "no-store", "vary": "cookie, save-data"}
)
ASSET_HEADERS: Mapping[str, str] = MappingProxyType({**_ALWAYS, "cache-control": "public, max-age=31536000, immutable"})
VIEWS: tuple[View, ...] = ("nothing", "notice", "summary", "detail", "full")


def picture(view: PictureView) -> str:
    """Return the page of the picture."""
    return _page("picture.html", view.shell, v=view, chart=_chart(view.chart, view.shell))


def item(view: ItemPageView) -> str:
    """Return the page of one record."""
    drawn = None if view.chart is None else _chart(view.chart, view.shell)
    return _page("item.html", view.shell, v=view, chart=drawn)


def agreements(view: AgreementsView) -> str:
    """Return the page of the matrix.

    Raises:
        InvariantError: a row's cells do not stand in the order of the domains.
    """
    for row in view.rows:
        invariant(
            tuple(cell.domain for cell in row.cells) == view.domains,
            f"the cells of {row.party} stand in the order of the domains",
        )
    line = horizon(view.rows, view.shell.now_ms, messages(view.shell.language))
    return _page("agreements.html", view.shell, v=view, line=line)


def log(view: LogView) -> str:
    """Return the page of the release log."""
    return _page("log.html", view.shell, v=view)


def error(view: ErrorView) -> str:
    """Return the page that says what did not work and what to do."""
    return _page("error.html", view.shell, v=view)


def _page(template: str, shell: Shell, **values: object) -> str:
    words = messages(shell.language)
    now_ms = shell.now_ms
    bound: dict[str, Callable[..., str]] = {
        "t": words.text,
        "n": words.count,
        "day": words.day,
        "instant": words.instant,
        "age": lambda at_ms: words.age(at_ms, now_ms),
        "ends": lambda ends_ms: words.ends(ends_ms, now_ms),
    }
    return _environment().get_template(template).render(shell=shell, now_ms=now_ms, **bound, **values)


def _chart(view: ChartView, shell: Shell) -> charts.Chart:
    return charts.draw(view, shell.now_ms, messages(shell.language), lite=shell.lite)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("relto.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        local=local,
        asset=served.address,
        pc=_percent,
        position=position,
        course=course,
        clock=time_of_day,
        hhmm=_hours_minutes,
        utc=format_utc,
        tally=_tally,
        bars=charts.bar_shapes,
    )
    environment.globals.update(ends_soon=ends_soon, views=VIEWS, most_symbols=charts.MOST_SYMBOLS)
    return environment


def _finalize(value: object) -> object:
    """Write out deceiving characters in every text that a template prints; markup is the template's own."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _hours_minutes(instant_ms: int) -> str:
    return time_of_day(instant_ms)[:5]


def _tally(who: tuple[PartyVerdict, ...]) -> list[tuple[Verdict, int]]:
    order: tuple[Verdict, ...] = ("full", "reduced", "nothing")
    return [(verdict, sum(one.verdict == verdict for one in who)) for verdict in order]
