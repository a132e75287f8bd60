"""The checker: what must hold in every run, whatever fails and whoever cheats.

It stands outside of the code under test. It looks at the disks at each commit and at the end, opens pages with keys of
its own, and decides with the oracle, which shares nothing with the real decision. Each promise is one function, whose
docstring says what is promised; what a cheating party does is not its promise, what it does to others is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from relto.bounds import BOUNDS
from relto.exchange.books import Inbound, Leaf, Released, Stored, Stream
from relto.exercise import oracle
from relto.exercise.simulator import facts
from relto.exercise.simulator.engine import Node, World
from relto.exercise.simulator.facts import Plain, Sent, Tree
from relto.exercise.simulator.memory import MemoryBooks, Row, State
from relto.exercise.simulator.plans import CAST

_LONGEST_DELAY_MS = 9000
_WORDS = ("ACCUSED", "ROLLBACK")  # what anybody may say, and what a late request looks like
VIEWS = ("nothing", "notice", "summary", "detail", "full")
_OVER_VIEW = {  # what a detection of a view must not hold, written down by hand
    "detail": ("provider", "pulse"),
    "summary": ("provider", "pulse", "band", "length_m", "remarks", "licence"),
    "notice": ("provider", "pulse", "band", "length_m", "remarks", "licence", "confidence"),
}


class Checker:
    """Watches all disks of a world."""

    def __init__(self, world: World, signed: dict[str, set[str]], *, real: bool) -> None:
        self.world = world
        self.signed = signed
        self.real = real
        self.trees: dict[str, Tree] = {}
        self.released: set[tuple[str, str, str, int, str]] = set()
        self.logs: dict[tuple[str, bytes], tuple[bytes, ...]] = {}  # of cheats: the entries under each root
        self.counts: dict[tuple[str, str, str], int] = {}
        self.withdrawn: dict[str, tuple[str, int]] = {}
        world.on_refresh = self.l2_withdrawn_before_the_page
        self._cast = CAST[: len(world.nodes)]

    def watch(self, node: Node) -> Callable[[State, MemoryBooks], None]:
        """What looks at each commit of a node."""
        self.trees[node.party] = Tree()

        def committed(before: State, books: MemoryBooks) -> None:
            self._committed(node, before, books)

        return committed

    def _committed(self, node: Node, before: State, books: MemoryBooks) -> None:
        after = books.state
        leaves = [each for each in books.written if isinstance(each, Leaf)]
        releases = [each for each in books.written if isinstance(each, Released)]
        # as they stand at the end: of one page the first version may be replaced by the second
        added = (each for each in books.written if isinstance(each, Row))
        rows = [after["items"][each.stored.seq] for each in added if each.stored.seq in after["items"]]
        if not node.honest:
            if leaves:
                self._record_heads(node, after)
            return
        self._remember(node, before, after, rows)
        if leaves:
            self.trees[node.party].add(leaves)
            self.s5_log_only_grows(node, after)
        for recipient in dict.fromkeys(each.recipient for each in releases):
            self._page(node, before, after, recipient, [each for each in releases if each.recipient == recipient])
        for row in rows:
            self._row(node, after, row)
        if after["floors"] is not before["floors"]:
            self.s6_floors_never_fall(node, before, after)
        if after["heads"] is not before["heads"]:
            self.s5_seen_heads_are_prefixes(node, after)
        if after["inbounds"] is not before["inbounds"]:
            self.s5_no_second_log_is_followed(node, before, after)
            self.s6_places_never_fall(node, before, after)
        if after["streams"] is not before["streams"]:
            self.s4_only_what_is_stored_is_receipted(node, after)
        if after["agreements"] is not before["agreements"]:
            self.s7_signatures_are_true(node, after)
        if after["settings"] is not before["settings"]:
            self.s9_nobody_honest_halts(node, after)
        if after["incidents"] is not before["incidents"]:
            self.s9_nobody_honest_is_accused(node, after)

    def _remember(self, node: Node, before: State, after: State, rows: list[Row]) -> None:
        for row in rows:
            node.stored_ms[row.stored.seq] = self.world.now_ms
        if after["settings"].get("rules") != before["settings"].get("rules"):
            node.rules_ms = self.world.now_ms
        if after["streams"] is not before["streams"]:
            for recipient in after["streams"].keys() - before["streams"].keys():
                node.opened[recipient] = max(before["items"], default=0)

    def _record_heads(self, node: Node, after: State) -> None:
        entries = tuple(leaf.entry for _, leaf in sorted(after["leaves"].items()))
        head = after["checkpoints"].get(len(entries))
        if head is not None:
            self.logs[node.party, head.root] = entries

    def _page(self, node: Node, before: State, after: State, recipient: str, releases: list[Released]) -> None:
        page = after["pages"][recipient][-1]
        sent = facts.open_page(page.content, self.world.nodes[recipient].identity)
        if len(sent) != len(releases) or (page.first_n, page.last_n) != (releases[0].n, releases[-1].n):
            self._broken("S4", node, f"a page for {recipient} is not what was released")
            return
        self.s9_window(node, before, after, recipient, releases)
        for release, each in zip(releases, sent, strict=True):
            self.released.add((node.party, recipient, release.id, release.version, each.header_sha256))
            self.s4_each_release_is_logged(node, after, release, each)
            self.s8_amplification(node, after, release)
            if release.view == "nothing":
                self.s1_withdrawals_go_to_holders(node, before, release)
            else:
                self._release(node, after, release, each)
        self.world.shared_with(node, recipient)

    def _release(self, node: Node, after: State, release: Released, sent: Sent) -> None:
        row: Row = after["items"][release.item]
        held = facts.header_of(row.stored.header)
        at_ms = sent.header["release"]["time_ms"]
        answer = self.decision(node, after, held, release.recipient, at_ms)
        self.s1_authorised_and_s7_in_force(node, release, answer)
        if answer["verdict"] != "WITHHELD":
            self.s1_view_and_duties(node, release, sent, answer)
            self.s2_precision(node, release, sent, row.stored, answer)
            self.s3_delay(node, release, sent, held, answer)
        self.s6_only_what_stands_goes(node, release, row.stored, at_ms)

    def _row(self, node: Node, after: State, row: Row) -> None:
        if row.stored.by:
            self.s4_each_item_was_released(node, row)
        elif row.stored.view == "nothing":
            self.withdrawn[row.id] = (node.party, row.version)
        self.l5_equivocation_is_noted(node, after, row)
        self.s6_floors_are_raised(node, after, row)
        self.s6_no_resurrection(node, after, row)

    def decision(self, node: Node, state: State, held: Plain, recipient: str, now_ms: int) -> Plain:
        """What the oracle says of an item at a node, by the agreements that everybody in them has truly signed."""
        return oracle.decide(
            holder=node.party,
            recipient=recipient,
            header=held,
            upstream=facts.upstream(held),
            agreements=facts.in_force(self._agreements(state), now_ms),
            now_ms=now_ms,
            quarantined=frozenset(state["settings"].get("quarantine", b"").decode().split()),
        )

    def _agreements(self, state: State) -> list[tuple[Plain, str, frozenset[str]]]:
        return [
            (
                facts.agreement(each.text),
                each.sha256,
                facts.signers(each.envelope, self._cast, self.real) & self.signed.get(each.sha256, set()),
            )
            for each in facts.agreements_at(state)
        ]

    def _broken(self, invariant: str, node: Node, what: str) -> None:
        self.world.violated(invariant, f"{node.party}: {what}")

    # --- safety ---

    def s1_authorised_and_s7_in_force(self, node: Node, release: Released, answer: Plain) -> None:
        """No item goes without an authorised path from its originator, and none on an agreement that does not hold."""
        if answer["verdict"] == "WITHHELD":
            timeless = answer["reason"] not in ("NO_AGREEMENT", "AGREEMENT_NOT_IN_FORCE")
            what = f"{release.id[:8]} v{release.version} to {release.recipient}, withheld: {answer['reason']}"
            self._broken("S1" if timeless else "S7", node, what)

    def s1_view_and_duties(self, node: Node, release: Released, sent: Sent, answer: Plain) -> None:
        """Nothing goes in a wider view, with lighter duties or with more parts than the agreements allow."""
        told, duties = sent.header["release"], sent.header["release"]["duties"]
        onward = answer["onward"][0], list(answer["onward"][1])
        longer = answer["retention_s"] is not None and duties["retention_s"] != answer["retention_s"]
        wrong = [
            name
            for name, fails in {
                "view": VIEWS.index(told["view"]) > VIEWS.index(answer["view"]),
                "onward": (duties["onward"]["rule"], duties["onward"]["to"]) != onward,
                "retention": longer,
                "purposes": not set(duties["purposes"]) <= set(answer["purposes"]) and bool(answer["purposes"]),
                "fields": sent.header["kind"] == "maritime.detection"
                and any(f'"{name}"'.encode() in sent.content for name in _OVER_VIEW.get(answer["view"], ())),
                "portions": any(p["selector"] in answer["removed_portions"] for p in sent.header["label"]["portions"]),
            }.items()
            if fails
        ]
        if wrong:
            self._broken("S1", node, f"{release.id[:8]} to {release.recipient} goes with other {', '.join(wrong)}")

    def s1_withdrawals_go_to_holders(self, node: Node, before: State, release: Released) -> None:
        """Of a withdrawal only they hear who have the item from us."""
        keys = before["release_ids"].get(release.id, ())
        last = max((n for to, n in keys if to == release.recipient), default=0)
        if not last or before["releases"][release.recipient, last].view == "nothing":
            self._broken("S1", node, f"tells {release.recipient} of {release.id[:8]}, which it never gave it")

    def s2_precision(self, node: Node, release: Released, sent: Sent, held: Stored, answer: Plain) -> None:
        """A position is never told better than the best grant."""
        if not answer["precision_m"] or facts.header_of(held.header)["place"] is None:
            return
        told_m = sent.header["release"]["duties"]["precision_m"]
        if told_m < answer["precision_m"]:
            self._broken("S2", node, f"{release.id[:8]} to {release.recipient} names a finer grid")
            return
        true, told = json.loads(held.content).get("geometry"), json.loads(sent.content).get("geometry")
        if true and told:
            lon_e7, lat_e7 = (round(each * 10**7) for each in true["coordinates"])
            lat, lon = oracle.snap(lat_e7, lon_e7, told_m)
            if [round(each * 10**7) for each in told["coordinates"]] != [lon, lat]:
                self._broken("S2", node, f"{release.id[:8]} to {release.recipient} is not the cell of its position")

    def s3_delay(self, node: Node, release: Released, sent: Sent, held: Plain, answer: Plain) -> None:
        """Nothing goes before its delay is over."""
        due_ms = held["until_ms"] + answer["delay_s"] * 1000
        if sent.header["release"]["time_ms"] < due_ms:
            self._broken("S3", node, f"{release.id[:8]} to {release.recipient} goes before its delay")

    def s4_each_release_is_logged(self, node: Node, after: State, release: Released, sent: Sent) -> None:
        """Each release stands in the releaser's log as what it is."""
        leaf = after["leaves"].get(release.leaf)
        told = json.loads(leaf.record) if leaf else {}
        said = tuple(told.get(name) for name in ("to", "n", "item", "version", "view", "rendition"))
        true = (release.recipient, release.n, release.id, release.version, release.view, sent.header_sha256)
        if said != true:
            self._broken("S4", node, f"release {release.n} to {release.recipient} is not in the log")

    def s4_each_item_was_released(self, node: Node, row: Row) -> None:
        """Every item that is present has a release record at whoever it came from."""
        giver = self.world.nodes[row.stored.by]
        release = facts.header_of(row.stored.header)["release"] or {}
        if (release.get("by"), release.get("to")) != (row.stored.by, node.party):
            self._broken("S4", node, f"{row.id[:8]} was released by or to somebody else")
            return
        key = (giver.party, node.party, row.id, row.version, _sha256(row.stored.header))
        if giver.honest and key not in self.released:
            self._broken("S4", node, f"{row.id[:8]} v{row.version} was never released by {giver.party}")

    def s5_log_only_grows(self, node: Node, after: State) -> None:
        """A log is only ever appended to, and each head is the root of what stands in it."""
        tree = self.trees[node.party]
        head = after["checkpoints"].get(tree.size)
        if len(after["leaves"]) != tree.size or head is None or head.root != tree.roots[tree.size]:
            self._broken("S5", node, f"the head is not that of the {tree.size} entries")

    def s5_seen_heads_are_prefixes(self, node: Node, after: State) -> None:
        """Each head of a log that a peer has seen is that of a prefix of the log."""
        for head in after["heads"].values():
            tree = self.trees.get(head.party)
            if tree and self.world.nodes[head.party].honest and tree.roots.get(head.size) != head.root:
                self._broken("S5", node, f"has a head of {head.party} that its log never had")

    def s5_no_second_log_is_followed(self, node: Node, before: State, after: State) -> None:
        """Nobody follows a log that is not the one it has seen before, without a fork on record."""
        for peer, inbound in after["inbounds"].items():
            known = before["inbounds"].get(peer)
            if known is None or known.log_root == inbound.log_root or self.world.nodes[peer].honest:
                continue
            old, new = self.logs.get((peer, known.log_root)), self.logs.get((peer, inbound.log_root))
            if old is not None and (new is None or new[: len(old)] != old):
                self._broken("S5", node, f"follows a second log of {peer}")

    def s4_only_what_is_stored_is_receipted(self, node: Node, after: State) -> None:
        """A receipt is given for what is stored durably, and for nothing else."""
        for recipient, stream in after["streams"].items():
            other = self.world.nodes[recipient]
            inbound = other.store.state["inbounds"].get(node.party) or Inbound(node.party)
            if other.honest and stream.receipted_n >= inbound.next_n:
                self._broken("S4", other, f"has receipted what it has not stored of {node.party}")

    def s6_floors_never_fall(self, node: Node, before: State, after: State) -> None:
        """Floors of versions and withdrawals never fall, and what is below a dead one holds nothing."""
        for key, old in before["floors"].items():
            new = after["floors"].get(key)
            if new is None or (new.version, new.dead) < (old.version, old.dead):
                self._broken("S6", node, f"a floor of {key[0]} fell from {old.version}")
        for key, new in after["floors"].items():
            if new.dead and before["floors"].get(key) != new:
                for row in _contents(after, new.id):
                    mine = new.party in (row.stored.by or node.party, row.origin)
                    if mine and row.version < new.version and row.stored.standing != "withdrawn":
                        self._broken("S6", node, f"{new.id[:8]} v{row.version} stands below its withdrawal")

    def s6_places_never_fall(self, node: Node, before: State, after: State) -> None:
        """Nobody goes back in a stream: a page has its effect once."""
        for peer, old in before["inbounds"].items():
            if after["inbounds"][peer].next_n < old.next_n:
                self._broken("S6", node, f"goes back in the stream of {peer}")

    def s6_floors_are_raised(self, node: Node, after: State, row: Row) -> None:
        """Whatever is stored raises the floor of who told it."""
        floor = after["floors"].get((row.stored.by or node.party, row.id))
        if floor is None or floor.version < row.version:
            self._broken("S6", node, f"{row.id[:8]} v{row.version} raised no floor")

    def s6_no_resurrection(self, node: Node, after: State, row: Row) -> None:
        """What is withdrawn does not come back: late, repeated, restored or from our own queue."""
        if row.stored.view == "nothing" or row.stored.standing == "withdrawn":
            return
        for party in {row.stored.by or node.party, row.origin}:
            floor = after["floors"].get((party, row.id))
            if floor is not None and floor.dead and row.version <= floor.version:
                self._broken("S6", node, f"{row.id[:8]} v{row.version} came back after its withdrawal")
        newer = [each for each in _contents(after, row.id) if each.version > row.version]
        newer = [each for each in newer if each.stored.by == row.stored.by and each.stored.standing == "current"]
        if newer and row.stored.standing == "current":
            self._broken("S6", node, f"{row.id[:8]} v{row.version} stands beside its newer version")

    def s6_only_what_stands_goes(self, node: Node, release: Released, held: Stored, at_ms: int) -> None:
        """Nothing goes that is withdrawn, has a newer version, or is over its retention."""
        over = held.expires_ms is not None and held.expires_ms <= at_ms
        if held.standing != "current" or over:
            self._broken("S6", node, f"{release.id[:8]} goes to {release.recipient} though it is over")

    def s7_signatures_are_true(self, node: Node, after: State) -> None:
        """An agreement is held as signed only by who truly signed its text."""
        for each in after["agreements"].values():
            if not set(each.signed_by) <= self.signed.get(each.sha256, set()):
                self._broken("S7", node, f"holds {each.id} v{each.version} as signed by who has not")

    def s8_amplification(self, node: Node, after: State, release: Released) -> None:
        """No item is released to a party more often than it has versions, and each may be taken back."""
        key = (node.party, release.recipient, release.id)
        self.counts[key] = self.counts.get(key, 0) + 1
        versions = {row.version for row in facts.rows_of(after, release.id)}
        if self.counts[key] > 2 * max(versions, default=1):
            self._broken("S8", node, f"{release.id[:8]} went to {release.recipient} {self.counts[key]} times")

    def s9_window(self, node: Node, before: State, after: State, recipient: str, releases: list[Released]) -> None:
        """No more than a window of pages waits for its receipts, but for what is urgent; no page is over its bound."""
        stream: Stream = before["streams"][recipient]
        waiting = [page for page in before["pages"].get(recipient, ()) if page.last_n > stream.receipted_n]
        routine = any(after["items"][each.item].stored.urgency == 0 for each in releases)
        if (routine and len(waiting) >= BOUNDS.window_pages) or len(releases) > BOUNDS.batch_items:
            self._broken("S9", node, f"{len(waiting)} pages wait for {recipient}, and {len(releases)} more releases go")

    def s9_nobody_honest_is_accused(self, node: Node, after: State) -> None:
        """No incident that freezes or proves anything is ever noted against a party that kept the rules."""
        for incident in after["incidents"].values():
            accused = self.world.nodes.get(incident.party)
            if accused is not None and accused.honest and incident.kind not in _WORDS:
                self._broken("S9", node, f"accuses {incident.party}: {incident.kind}: {incident.text}")

    def s9_nobody_honest_halts(self, node: Node, after: State) -> None:
        """Nobody can make a node halt that has lost nothing."""
        if after["settings"].get("halted"):
            self._broken("S9", node, f"halts: {after['settings']['halted'].decode()}")

    def l5_equivocation_is_noted(self, node: Node, after: State, row: Row) -> None:
        """Two contents under one id and version of one party are both kept, as an incident."""
        same = [each for each in _contents(after, row.id) if each.version == row.version]
        same = [each for each in same if each.stored.by == row.stored.by and each.stored.edition == row.stored.edition]
        noted = any(kind == "EQUIVOCATION" and party == row.stored.by for kind, party, _ in after["incidents"])
        if len(same) > 1 and not noted:
            self._broken("L5", node, f"has {row.id[:8]} v{row.version} of {row.stored.by} twice, and no incident")

    # --- liveness: asked when faults have stopped and three retry periods have passed ---

    def finish(self) -> None:
        """Everything that must hold in the end."""
        for node in self._honest():
            self.s8_messages(node)
            self.l5_forks_are_noted(node)
            for recipient in self._honest():
                if recipient is not node:
                    self._pair(node, recipient)

    def _honest(self) -> list[Node]:
        return [node for node in self.world.nodes.values() if node.honest]

    def _pair(self, node: Node, recipient: Node) -> None:
        stream: Stream | None = node.store.state["streams"].get(recipient.party)
        quarantined = node.store.state["settings"].get("quarantine", b"").decode().split()
        if recipient.party in quarantined:
            return
        if stream is None:
            self.l1_a_stream_is_open(node, recipient)
            return
        inbound = recipient.store.state["inbounds"].get(node.party) or Inbound(node.party)
        self.l3_every_delivery_is_receipted(node, recipient, stream, inbound)
        for row in list(node.store.state["items"].values()):
            self.l1_what_may_go_has_come(node, recipient, row)
        self.l2_withdrawals_are_applied(node, recipient)
        self.l2_newer_versions_replace(node, recipient)
        self.l2_withdrawals_are_passed_on(node, recipient)

    def l1_what_may_go_has_come(self, node: Node, recipient: Node, row: Row) -> None:
        """Each item that may go to a party is there, exactly once."""
        there = [each for each in facts.rows_of(recipient.store.state, row.id) if each.stored.by == node.party]
        same = [each for each in there if each.version == row.version and each.stored.view != "nothing"]
        if len(same) > 1:
            return self._broken("L1", recipient, f"has {row.id[:8]} v{row.version} of {node.party} {len(same)} times")
        if same or not self._must_come(node, recipient, row):
            return None
        if any(each.version >= row.version for each in there) or self._purged(node, recipient, row):
            return None
        return self._broken("L1", recipient, f"lacks {row.id[:8]} v{row.version}, which {node.party} may release to it")

    def _purged(self, node: Node, recipient: Node, row: Row) -> bool:
        """Whether it had come, and is over its retention there."""
        floor = recipient.store.state["floors"].get((node.party, row.id))
        return floor is not None and floor.version >= row.version

    def _must_come(self, node: Node, recipient: Node, row: Row) -> bool:
        """Whether it stood and might go from the moment that it was stored: a stream only goes forward."""
        stored, state = row.stored, node.store.state
        if stored.standing != "current" or stored.view == "nothing" or stored.by == recipient.party:
            return False
        if stored.seq <= node.opened.get(recipient.party, stored.seq) or stored.expires_ms is not None:
            return False
        if any(each.version > row.version or each.stored.by != stored.by for each in facts.rows_of(state, row.id)):
            return False
        if facts.header_of(stored.header)["until_ms"] + _LONGEST_DELAY_MS > node.clock.now_ms():
            return False
        return node.rules_ms < self._since_ms(node, stored) and all(
            self.decision(node, state, facts.header_of(stored.header), recipient.party, at_ms)["verdict"] != "WITHHELD"
            for at_ms in self._instants(node, stored)
        )

    def _since_ms(self, node: Node, stored: Stored) -> int:
        """When it was stored in the world's time."""
        return node.stored_ms.get(stored.seq, -1)

    def _instants(self, node: Node, stored: Stored) -> Iterator[int]:
        """Now, when it was stored, and the edges of all terms between; a clock that was set passes all of them."""
        now_ms = node.clock.now_ms()
        yield now_ms
        yield stored.received_ms
        jumped = node.clock.jumped_ms >= self._since_ms(node, stored)
        for each, _, _ in self._agreements(node.store.state):
            for edge_ms in (each["from_ms"], each["until_ms"]):
                if edge_ms is not None and edge_ms <= now_ms + 600_000 and (jumped or edge_ms > stored.received_ms):
                    yield edge_ms
                    yield edge_ms - 1

    def l1_a_stream_is_open(self, node: Node, recipient: Node) -> None:
        """To everybody with whom an agreement is in force runs a stream."""
        now_ms = node.clock.now_ms()
        agreed = facts.in_force(self._agreements(node.store.state), now_ms)
        settled = [each for each in agreed if each["from_ms"] + 8000 < now_ms]
        if node.rules_ms + 8000 < self.world.now_ms and any(
            {node.party, recipient.party} <= set(each["tiers"]) for each in settled
        ):
            self._broken("L1", node, f"has no stream to {recipient.party}")

    def l2_withdrawn_before_the_page(self, node: Node, peer: str) -> Callable[[], None]:
        """Once its documents are here, what a partner has withdrawn is void, also if the page that says so waits."""
        giver = self.world.nodes[peer]
        stored = node.store.state["inbounds"].get(peer) or Inbound(peer)
        releases = giver.store.state["releases"].values()
        mine = [each for each in releases if each.recipient == node.party and each.n >= stored.next_n]
        void = [each for each in mine if each.view == "nothing"]

        def check() -> None:
            told = node.party not in giver.store.state["settings"].get("quarantine", b"").decode().split()
            if giver.honest and node.honest and told and not self.world.weather.replays:
                for each in void:
                    for row in _contents(node.store.state, each.id):
                        stands = row.stored.standing == "current" and row.version < each.version
                        if stands and row.stored.by == peer:
                            self._broken("L2", node, f"reads {each.id[:8]}, which {peer} says is withdrawn")

        return check

    def l2_newer_versions_replace(self, node: Node, recipient: Node) -> None:
        """Nobody goes on with a replaced version: it gets the newer one, or hears that the old one is void."""
        for row in node.store.state["items"].values():
            stands = row.stored.standing == "current" and row.stored.view != "nothing" and not row.stored.by
            due_ms = facts.header_of(row.stored.header)["until_ms"] + _LONGEST_DELAY_MS if stands else 0
            if not stands or due_ms > node.clock.now_ms():
                continue
            for old in _contents(recipient.store.state, row.id):
                if old.stored.by == node.party and old.version < row.version and old.stored.standing == "current":
                    self._broken("L2", recipient, f"goes on with {row.id[:8]} v{old.version} of {node.party}")

    def l2_withdrawals_are_applied(self, node: Node, recipient: Node) -> None:
        """What its originator has withdrawn is gone from everybody who can be reached."""
        for id, (origin, version) in self.withdrawn.items():
            for row in _contents(recipient.store.state, id):
                stands = row.version < version and row.stored.standing != "withdrawn"
                if stands and row.stored.by == node.party and row.origin == origin and self._reached(node, id, version):
                    self._broken(
                        "L2", recipient, f"still has {id[:8]} v{row.version} of {node.party}, withdrawn by {origin}"
                    )

    def l2_withdrawals_are_passed_on(self, node: Node, recipient: Node) -> None:
        """Who passed an item on passes its withdrawal on."""
        state = node.store.state
        for row in state["items"].values():
            numbers = [n for to, n in state["release_ids"].get(row.id, ()) if to == recipient.party]
            if row.stored.view != "nothing" or not numbers or row.stored.by == recipient.party:
                continue
            last: Released = state["releases"][recipient.party, max(numbers)]
            if last.view != "nothing" and last.version < row.version:
                self._broken("L2", node, f"did not tell {recipient.party} that {row.id[:8]} is withdrawn")

    def _reached(self, node: Node, id: str, version: int) -> bool:
        """Whether the withdrawal has come to the node that passed the item on."""
        return any(
            row.stored.view == "nothing" and row.version >= version for row in facts.rows_of(node.store.state, id)
        )

    def l3_every_delivery_is_receipted(self, node: Node, recipient: Node, stream: Stream, inbound: Inbound) -> None:
        """Each delivery is closed by a receipt, and what the sender calls complete is what the recipient has."""
        if stream.receipted_n != stream.next_n - 1:
            what = f"{stream.receipted_n} of {stream.next_n - 1} releases to {recipient.party} are receipted"
            self._broken("L3", node, what)
        elif (inbound.next_n, inbound.chain) != (stream.next_n, stream.chain):
            self._broken("L3", recipient, f"stands elsewhere in the stream of {node.party}")

    def l5_forks_are_noted(self, node: Node) -> None:
        """Who has seen two heads that are not of one log has an incident against their owner."""
        seen: dict[str, list[tuple[bytes, ...]]] = {}
        for head in node.store.state["heads"].values():
            entries = self.logs.get((head.party, head.root))
            if entries is not None:
                seen.setdefault(head.party, []).append(entries)
        for party, logs in seen.items():
            one = all(a[: len(b)] == b or b[: len(a)] == a for a in logs for b in logs)
            incidents = node.store.state["incidents"]
            noted = any(owner == party and subject.startswith("log ") for _, owner, subject in incidents)
            if not one and not noted:
                self._broken("L5", node, f"has seen two logs of {party}, and has no incident")

    def s8_messages(self, node: Node) -> None:
        """Requests are bounded by time, not by what they bring."""
        for peer in self.world.nodes:
            asked = self.world.asked.get((node.party, peer), 0)
            if asked > 40 + self.world.now_ms // 100:
                self._broken("S8", node, f"asked {peer} {asked} times")


def _contents(state: State, id: str) -> list[Row]:
    return [row for row in facts.rows_of(state, id) if row.stored.view != "nothing"]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def promises() -> dict[str, Any]:
    """The promise that each invariant stands for, by its letter and number."""
    found: dict[str, list[str]] = {}
    for name, function in vars(Checker).items():
        if name[:1] in "sl" and name[1:2].isdigit() and function.__doc__:
            found.setdefault(name[:2].upper(), []).append(" ".join(function.__doc__.split()))
    return {"S0": ["No verb fails by anything but an error that it states."]} | found
