"""A million items for twelve recipients: gathered from the table of classes, against asking Cedar for each."""

from __future__ import annotations

from random import Random

import numpy as np

from bench.measure import Row, rate, seconds, typical_s
from relto.agreements.document import read
from relto.item import Header, new_item
from relto.labels import REL_TO, TLP_ORDER, Category, Label, Marking, handling
from relto.release.classes import LabelClass, classify
from relto.release.decide import Table, _covering, decide_class
from relto.release.world import Epoch

PARTNERS = tuple(f"P{number:02d}" for number in range(12))
LEVELS = ("OPEN", "CLOSED", "SECRET")
CLASSES = 500


def agreement() -> bytes:
    """One holder, twelve partners in three tiers, a grant for each tier and view."""
    parties = ['{ id = "AUS", name = "A", tier = "T3" }']
    parties += [f'{{ id = "{each}", name = "{each}", tier = "T{1 + at % 3}" }}' for at, each in enumerate(PARTNERS)]
    rows = ", ".join(f'{each} = ["{{0}}"]' for each in ("AUS", *PARTNERS))
    levels = ", ".join(f'{{ name = "{level}", {rows.replace("{0}", level)} }}' for level in LEVELS)
    grants = [
        f'[[grant]]\nid = "g{tier}-{view}"\ntext = "Tier {tier} in {view}."\nfrom = ["AUS"]\nto_tier = ["T{tier}"]\n'
        f'domains = ["maritime", "cyber"]\nceiling = "{LEVELS[tier - 1]}"\ntlp_ceiling = "{colour}"\nview = "{view}"\n'
        f'precision_m = {precision_m}\ncaveats = ["LICENCE:ACME", "ORCON"]\n'
        for tier in (1, 2, 3)
        for view, colour, precision_m in (("full", "GREEN", 1000), ("detail", "AMBER", 0), ("notice", "RED", 10_000))
    ]
    head = 'format = "relto-agreement/1"\nid = "TWELVE"\nversion = 1\ntitle = "Benchmark"\nillustration = true\n'
    tables = f"term = {{ from = 2026-01-01T00:00:00Z }}\nparty = [{', '.join(parties)}]\nlevel = [{levels}]\n"
    return (head + tables + "\n".join(grants)).encode()


def _header(rng: Random, number: int) -> Header:
    level = rng.choice((*LEVELS, "ODD"))
    categories = [Category("ORCON", "restrictive")] if rng.random() < 0.3 else []
    if rng.random() < 0.4:
        categories.append(Category(REL_TO, "permissive", tuple(sorted(rng.sample(PARTNERS, 4)))))
    label = Label(
        handling=handling(
            markings=(Marking("AUS", level, level),),
            categories=tuple(categories),
            tlp=rng.choice(TLP_ORDER),
            licences=("ACME",) if rng.random() < 0.3 else (),
        ),
        originators=("AUS",),
    )
    kind = rng.choice(("maritime.detection", "cyber.vulnerability"))
    item = new_item(id=f"{number:032x}", kind=kind, origin="AUS", observed_ms=0, label=label, content=b"{}",
                    media_type="application/json")  # fmt: skip
    return item.header


def measure(count: int, calls: int) -> list[Row]:
    """Decide the classes once, then gather; hold a sample of cells against deciding anew."""
    terms = read(agreement(), "bench")
    epoch = Epoch("AUS", (terms,))
    rng, classes = Random(11), dict[LabelClass, None]()
    while len(classes) < CLASSES:
        classes[classify(_header(rng, len(classes)), (), epoch)] = None
    known, table = list(classes), Table(epoch)
    cold_s = seconds(lambda: table.matrix(known, PARTNERS))
    codes, distinct = table.matrix(known, PARTNERS)
    ids = np.random.default_rng(1).integers(0, len(known), count)
    gather_s = typical_s(lambda: codes[ids])
    answers = codes[ids]
    pairs = [(rng.randrange(count), rng.randrange(len(PARTNERS))) for _ in range(calls)]
    for item, column in pairs:
        anew = decide_class(known[ids[item]], PARTNERS[column], epoch)
        assert distinct[answers[item, column]] == anew, (item, column)
    asked_s = typical_s(lambda: _ask(known, ids, pairs, epoch))
    scaled_s = asked_s / calls * count * len(PARTNERS)
    cells = count * len(PARTNERS)
    return [
        Row(
            f"Decide {count:,} items for 12 recipients, classes known (floor: Cedar for each, "
            f"scaled from {calls:,} calls; {calls:,} sampled cells equal)",
            f"{gather_s * 1000:.1f} ms",
            f"{scaled_s:,.0f} s",
            f"{scaled_s / gather_s:,.0f} times",
        ),
        Row(f"- {len(known)} classes for 12 recipients, first time", rate(len(known) * 12, cold_s, "cells"), "", ""),
        Row("- the same, gathered", rate(cells, gather_s, "cells"), "", ""),
    ]


def _ask(known: list[LabelClass], ids: np.ndarray, pairs: list[tuple[int, int]], epoch: Epoch) -> None:
    for item, column in pairs:
        recipient = PARTNERS[column]
        _covering(epoch.policy(recipient), known[ids[item]], recipient, epoch.holder)
