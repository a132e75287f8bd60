"""``relto why``."""

from __future__ import annotations

import click

from relto.cli.output import NO, Output, output
from relto.clock import format_utc
from relto.item import Duties
from relto.node import read
from relto.node.read import Why
from relto.release.reasons import sentence

GLYPHS = {"pass": "✓", "reduce": "◐", "stop": "✗", "skip": "·"}


@click.command("why")
@click.argument("item")
@click.option("--to", required=True, metavar="PARTY", help="The party that asks.")
@output
@click.pass_context
def command(ctx: click.Context, out: Output, item: str, to: str) -> None:
    """Explain what a party gets of ITEM (an id, or its beginning), rule by rule, and what would change it.

    Exit code 1 if the item is withheld. A refusal that was asked for is a leaf in the release log.
    """
    with out.node() as node:
        answer = read.why(node, item, to)
    out.result(_value(answer), "\n".join(_lines(answer)))
    if answer.decision.withheld:
        ctx.exit(NO)


def _value(answer: Why) -> dict[str, object]:
    decision = answer.decision
    return {
        "item": answer.header.id,
        "to": answer.recipient,
        "verdict": decision.verdict,
        "view": decision.view,
        "reasons": {reason: sentence(reason) for reason in decision.reasons},
        "duties": None if decision.withheld else decision.duties,
        "rules": decision.rules,
        "agreements": decision.agreements,
        "not_before_ms": None if decision.withheld else answer.not_before_ms,
        "steps": answer.examination.steps,
        "remedy": answer.examination.remedy,
        "fields": answer.fields,
    }


def _lines(answer: Why) -> list[str]:
    decision = answer.decision
    lines = [f"{answer.recipient}: {decision.verdict}, view {decision.view}"]
    lines += [f"  {reason}: {sentence(reason)}" for reason in decision.reasons]
    lines.append("")
    for step in answer.examination.steps:
        value = f"  [{step.value}]" if step.value else ""
        clause = f"  ({step.clause})" if step.clause else ""
        lines.append(f"  {GLYPHS[step.glyph]} {step.sentence}{value}{clause}")
    if decision.withheld:
        return [*lines, "", f"What would change it: {answer.examination.remedy or sentence(decision.reasons[0])}"]
    lines += ["", f"Not before {format_utc(answer.not_before_ms)}. {_duties(decision.duties)}", ""]
    width = max((len(field.path) for field in answer.fields), default=0)
    changed = [field for field in answer.fields if field.theirs != field.ours]
    same = len(answer.fields) - len(changed)
    for field in changed:
        theirs = "held back" if field.theirs is None else field.theirs
        lines.append(f"  {field.path:<{width}}  {field.ours}  ->  {theirs}")
    return [*lines, f"  {same} field{'' if same == 1 else 's'} as we hold {'it' if same == 1 else 'them'}"]


def _duties(duties: Duties) -> str:
    kept = "without an end" if duties.retention_s is None else f"{duties.retention_s // 86_400} days"
    onward = {"none": "to nobody", "consent": "with consent only", "list": f"to {', '.join(duties.onward.to)}"}
    purposes = f" For {', '.join(duties.purposes)} only." if duties.purposes else ""
    return f"To be kept {kept}; onward {onward[duties.onward.rule]}.{purposes}"
