"""Which namespaces a run covers, and what they are called at the destination."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, unquote

from msgspec import Struct

from dsync.errors import UsageError


class Rule(Struct, frozen=True):
    """One `NAME` or `NAME:NEW`: the name itself and everything below `NAME.`."""

    source: str
    destination: str

    def tail(self, name: str) -> str | None:
        """What follows the rule's source in a name ("" or ".rest"), None where it does not match.

        A source may have put its own database before a name that was given without one, so the name without its first
        part is tried too.
        """
        for candidate in (name, name.partition(".")[2]):
            if candidate == self.source or candidate.startswith(self.source + "."):
                return candidate[len(self.source) :]
        return None

    def __str__(self) -> str:
        names = (self.source,) if self.source == self.destination else (self.source, self.destination)
        return ":".join(_encode(name) for name in names)


class Selection(Struct, frozen=True):
    """The namespaces of a run. Without rules: everything that the source's URI names, under the same names."""

    rules: tuple[Rule, ...] = ()
    excluded: tuple[Rule, ...] = ()
    # Full names that are left out whatever was asked for: where the state itself lives.
    hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, *names: str, exclude: Sequence[str] = ()) -> Selection:
        """From names as `--namespace` and `--exclude` take them: `Selection.of("shop", "hr.people:archive.staff")`."""
        return parse(names, [exclude] if isinstance(exclude, str) else exclude)

    @property
    def names(self) -> list[str]:
        """What to ask the source's plan for; empty asks for its default."""
        return list(dict.fromkeys(rule.source for rule in self.rules))

    def excludes(self, name: str) -> bool:
        """Whether a namespace is left out, by `--exclude` or because the state lives there."""
        return name in self.hidden or any(rule.tail(name) is not None for rule in self.excluded)

    def destination(self, name: str) -> str:
        """The destination's name for a source namespace: by the longest rule that matches."""
        for rule in sorted(self.rules, key=lambda rule: -len(rule.source)):
            tail = rule.tail(name)
            if tail is not None:
                return name if rule.source == rule.destination else rule.destination + tail
        return name

    def root(self, name: str) -> str:
        """The full name by which a source namespace is selected: itself or one that it lies below; "" where all are."""
        for rule in sorted(self.rules, key=lambda rule: -len(rule.source)):
            tail = rule.tail(name)
            if tail is not None:
                return name.removesuffix(tail)
        return ""

    def reversed(self) -> Selection:
        """The selection of the way back: from the destination's names to the source's."""
        rules = tuple(Rule(rule.destination, rule.source) for rule in self.rules)
        names = (self.destination(rule.source) for rule in self.excluded)
        return Selection(rules, tuple(Rule(name, name) for name in names))

    def __str__(self) -> str:
        return ",".join([*map(str, self.rules), *(f"!{rule}" for rule in self.excluded)])


def parse(names: Sequence[str], excluded: Sequence[str] = ()) -> Selection:
    """From option values, each a comma-separated list of `NAME` or `NAME:NEW`; commas and colons in names are percent-encoded.

    Raises UsageError for empty names, a third colon, or one name mapped to two.
    """
    rules = tuple(_parse_rule(item) for value in names for item in value.split(","))
    leave_out = tuple(_parse_rule(item) for value in excluded for item in value.split(","))
    for rule in leave_out:
        if rule.source != rule.destination:
            raise UsageError(
                f"--exclude takes plain names, not the mapping {str(rule)!r}", remedy="give the name alone"
            )
    targets: dict[str, str] = {}
    for rule in rules:
        if targets.setdefault(rule.source, rule.destination) != rule.destination:
            raise UsageError(
                f"--namespace maps {rule.source!r} to both {targets[rule.source]!r} and {rule.destination!r}",
                remedy="give one destination a name",
            )
    return Selection(rules, leave_out)


def _parse_rule(item: str) -> Rule:
    source, colon, destination = item.strip().partition(":")
    if not source or (colon and not destination) or ":" in destination:
        raise UsageError(
            f"--namespace {item!r} is not a name", remedy="write db, db.collection or db.collection:newdb.newcollection"
        )
    return Rule(unquote(source), unquote(destination or source))


def _encode(name: str) -> str:
    return quote(name, safe=" !\"#$&'()*+-./;<=>?@[\\]^_`{|}~")
