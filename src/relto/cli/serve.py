"""``relto serve``."""

from __future__ import annotations

import logging
import signal
import sys
import threading

import click
import structlog

from relto.api.exchange import exchange_app
from relto.api.pages import make_token, pages_app
from relto.cli.output import Output, output
from relto.node.node import Node
from relto.node.run import Runner


@click.command("serve")
@click.option("--token", default=None, envvar="RELTO_TOKEN", hidden=True, help="The token of the pages.")
@click.option("--strip", default=None, help="The marking strip of the pages; from the settings if not given.")
@output
def command(out: Output, token: str | None, strip: str | None) -> None:
    """Run the node: share, pull, answer partners, and show the pages on this machine."""
    _log_to_stderr(out.as_json)
    node = Node.open(out.home)
    secret = token or make_token(node.core.entropy)
    runner = Runner(node, exchange_app)
    runner.start(pages=pages_app(node, secret, strip=strip, ready=runner.catch_up.done))
    url = f"http://127.0.0.1:{node.settings.web_port}/?token={secret}"
    out.result(
        {"party": node.party, "exchange_port": runner.port, "url": url},
        f"{node.party} answers partners on port {runner.port}\npages: {url}\nstop with Ctrl-C",
    )
    sys.stdout.flush()
    _wait_for_signal()
    runner.stop()


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    stopped.wait()


def _log_to_stderr(as_json: bool) -> None:
    """Log lines to standard error: for people, or one JSON object a line."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
