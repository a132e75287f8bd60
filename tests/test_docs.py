"""The documentation is true: what a user can meet has its entry, examples verify, and links lead somewhere."""

from __future__ import annotations

import ast
import html
import json
import re
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from relto.cli import COMMANDS, main
from relto.envelope.merkle import leaf_hash
from relto.exchange.messages import FIRST_CHAIN, Batch, Receipt
from relto.feeds.files import READERS
from relto.item import parse_item
from relto.labels import Label, banner, join, overall
from relto.log.leaf import LeafRecord, commit, open_leaf
from relto.node.home import Settings
from relto.release.reasons import AS_HELD, REDUCED, REMEDIES, WHOLE, WITHDRAWN, WITHHELD
from relto.strict import parse_canonical

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "vectors").glob("*/README.md")})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"(docs/[\w/-]+\.md)(?:, sections? (\d+))?")


def rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables by their first cell, without backticks; the cells unescaped."""
    found = {}
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith("| `"):
            cells = [html.unescape(cell.strip()) for cell in line.strip("| ").split(" | ")]
            found[cells[0].strip("`")] = cells[1:]
    return found


def block(page: str, name: str) -> bytes:
    """The fenced example of this name, without its last line end."""
    match = re.search(rf"^```(?:json|text) {name}\n(.*?)\n```$", (DOCS / page).read_text("utf-8"), re.M | re.S)
    assert match is not None, f"{page} has no example {name}"
    return match.group(1).encode()


def leaves(command: click.Command, words: tuple[str, ...]) -> list[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    if not isinstance(command, click.Group):
        return [(" ".join(words), command)]
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, each in found if each is not None for leaf in leaves(each, (*words, name))]


def test_every_command_and_option_has_its_entry() -> None:
    entries = {line: cells for line, cells in rows("commands.md").items() if line.startswith("relto ")}
    commands = leaves(main, ("relto",))
    assert {words.split()[1] for words, _ in commands} == set(COMMANDS)
    for words, command in commands:
        described = [cells for line, cells in entries.items() if re.match(rf"{words}(?: [A-Z]|$)", line)]
        assert len(described) == 1, f"docs/commands.md: {words}"
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert f"`{parameter.opts[0]}`" in described[0][1], f"docs/commands.md: {words} {parameter.opts[0]}"
    assert len(entries) == len(commands), "docs/commands.md tells of a command that is not there"


def test_every_setting_has_its_entry_with_its_default() -> None:
    entries = rows("settings.md")
    for field in msgspec.structs.fields(Settings):
        form, default, _ = entries[field.name]
        assert form, field.name
        told = "required" if field.required else f"`{json.dumps(field.default)}`"
        assert default == told, field.name
    assert set(entries) - set(Settings.__struct_fields__) == {"relto.toml", "keys/", "relto.db", "log/"}


def test_every_reason_has_its_sentence_and_its_remedy() -> None:
    expected = {code: [text, REMEDIES[code]] for code, text in WITHHELD.items()}
    expected |= {code: [text] for code, text in (REDUCED | WITHDRAWN).items()} | {AS_HELD: [WHOLE]}
    assert rows("reasons.md") == expected


def test_every_reader_and_every_code_of_an_intake_has_its_entry() -> None:
    text = (DOCS / "feeds.md").read_text("utf-8")
    assert set(READERS) <= set(rows("feeds.md"))
    told = set(re.findall(r"`([A-Z][A-Z0-9_-]+)`", text))
    assert codes_of_intakes() - told == set()


def codes_of_intakes() -> set[str]:
    """Codes of two words and more wherever they stand in a format, and those of one that are passed as a reason."""
    found = set()
    for path in (ROOT / "src/relto/formats").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("RefusedError", "Refused", "Ignored", "ignore", "remark", "reject", "reject_rows"):
                    found |= {each.value for each in node.args[:3] if isinstance(each, ast.Constant)}
            elif isinstance(node, ast.Constant):
                found.add(node.value)
    return {each for each in found if isinstance(each, str) and re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+|CHECKSUM", each)} | {
        each for each in found if each in ("COUNT", "COLUMNS", "COMMENT", "DELETED", "DUPLICATE", "EMPTY", "REBUILT")
    }


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    text = (DOCS / "dependencies.md").read_text("utf-8")
    told = re.findall(r"^\| ([a-z][a-z0-9-]*) \|", text, re.MULTILINE)
    assert sorted(set(told) - {"package"}) == sorted(re.split(r"[<>=]", each)[0] for each in wanted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.relative_to(ROOT)}: {link}"


def test_every_page_that_the_program_names_is_there() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for name, section in SECTION.findall(path.read_text("utf-8")):
            page = ROOT / name
            assert page.exists(), f"{path.name}: {name}"
            if section:
                assert f"\n## {section}. " in page.read_text("utf-8"), f"{path.name}: {name}, section {section}"


def test_the_example_of_an_item_binds_its_content() -> None:
    item = parse_item(block("spec/item.md", "header"), block("spec/item.md", "content"))
    assert item.header.release is not None
    record = example_of_a_leaf()
    assert (record.item, record.rules) == (item.header.id, item.header.release.rules)


def example_of_a_leaf() -> LeafRecord:
    salt, entry = (bytes.fromhex(block("spec/log.md", name).decode()) for name in ("salt", "entry"))
    return open_leaf(block("spec/log.md", "record"), salt, entry)


def test_the_example_of_a_leaf_opens_its_entry() -> None:
    record = example_of_a_leaf()
    assert record.verdict == "SANITISED"
    assert commit(b"another", bytes(32)) != bytes.fromhex(block("spec/log.md", "entry").decode())


def test_the_example_of_labels_joins_as_it_says() -> None:
    a, b, joined = (parse_canonical(block("spec/label.md", name), Label) for name in ("a", "b", "join"))
    assert join(a, b) == joined
    assert f"`{banner(overall(joined))}`" in (DOCS / "spec/label.md").read_text("utf-8")


def test_the_example_of_a_stream_chains() -> None:
    batch = parse_canonical(block("spec/exchange.md", "batch"), Batch)
    receipt = parse_canonical(block("spec/exchange.md", "receipt"), Receipt)
    assert batch.previous == FIRST_CHAIN
    assert (receipt.up_to_n, receipt.chain) == (batch.last_n, batch.chain)
    entry = bytes.fromhex(block("spec/log.md", "entry").decode())
    assert (receipt.log, receipt.log_size, receipt.log_root) == (1, 1, leaf_hash(entry).hex())
