"""Writes the generated parts of README.md and docs/ from the parsers, between markers; with --check, says whether they are fresh.

A generated part stands between `<!-- NAME: made by make docs -->` and `<!-- NAME: end -->`.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from dsync import registry
from dsync.cli import options, secrets
from dsync.cli.program import COMMANDS, program
from dsync.connector import ConnectorSpec
from dsync.endpoint import roles_of

TOP = Path(__file__).resolve().parent.parent


def main() -> None:
    """Writes, or checks."""
    stale = []
    for page in (TOP / "README.md", TOP / "docs" / "reference.md"):
        before = page.read_text()
        after = filled(before)
        if after != before and "--check" not in sys.argv:
            page.write_text(after)
        elif after != before:
            stale.append(str(page.relative_to(TOP)))
    if stale:
        sys.exit(f"not fresh: {', '.join(stale)}; run `make docs`")


def filled(text: str) -> str:
    """The page with every generated part made anew. Raises SystemExit where a page names a part that nobody makes."""

    def part(match: re.Match[str]) -> str:
        if match[1] not in PARTS:
            sys.exit(f"no part is called {match[1]!r}; there are {', '.join(PARTS)}")
        body = "\n".join(PARTS[match[1]]()).strip("\n")
        return f"<!-- {match[1]}: made by make docs -->\n\n{body}\n\n<!-- {match[1]}: end -->"

    return re.sub(r"<!-- (\w+): made by make docs -->.*?<!-- \1: end -->", part, text, flags=re.DOTALL)


def specs() -> dict[str, tuple[ConnectorSpec, list[str]]]:
    """The built-in connectors by name, with the schemes that each answers to."""
    found: dict[str, tuple[ConnectorSpec, list[str]]] = {}
    for scheme in sorted(registry.BUILT_IN):
        spec = registry.spec_of_scheme(scheme)
        found.setdefault(spec.name, (spec, []))[1].append(scheme)
    return dict(sorted(found.items()))


def connector_table() -> Iterator[str]:
    """A row a connector."""
    rows = []
    for name, (spec, _) in specs().items():
        link = f"[{name}](docs/reference.md#{name})"
        install = f"`pip install 'dsync[{spec.extra}]'`" if spec.extra else "nothing more"
        rows.append(
            (
                link,
                spec.summary,
                f"`{spec.examples[0]}`",
                yes(spec.source),
                yes(spec.sink),
                yes(bool(spec.transform)),
                install,
            )
        )
    yield from table(("connector", "what it is", "for example", "source", "destination", "transform", "needs"), rows)


def global_options() -> Iterator[str]:
    """The options of a run."""
    for title, group in options.GROUPS.items():
        yield from ("", f"### {title}", "")
        yield from option_table(group)


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    ctx = click.Context(program, info_name="dsync")
    for name, (_, line) in COMMANDS.items():
        command = program.get_command(ctx, name)
        if command is None:
            sys.exit(f"the command {name!r} is listed but not there")
        yield from ("", f"### dsync {name}", "", line)
        yield from command_body(command, f"dsync {name}", ctx, line)


def command_body(command: click.Command, path: str, parent: click.Context, known: str) -> Iterator[str]:
    """Usage, help and options of a command, and of its own commands."""
    ctx = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    text = re.sub(r"\s*\x08\s*", "\n\n", (command.help or "").strip())
    if text and text != known:
        yield from ("", *(line.strip() for line in text.splitlines()))
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield from ("", f"    {path} {usage}".rstrip(), "")
    yield from option_table(p for p in command.params if isinstance(p, click.Option))
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            sub = command.get_command(ctx, name)
            if sub is not None and not sub.hidden:
                yield from ("", f"#### {path} {name}")
                yield from command_body(sub, f"{path} {name}", ctx, "")


def connectors() -> Iterator[str]:
    """Every connector with its URIs and options."""
    for name, (spec, schemes) in specs().items():
        yield from ("", f"### {name}", "", sentence(spec.summary), "")
        yield from (f"    {example}" for example in spec.examples)
        shown = ", ".join(f"`{scheme}`" for scheme in schemes)
        needs = f" Needs `pip install 'dsync[{spec.extra}]'`." if spec.extra else ""
        yield from ("", f"Schemes: {shown}. Can be {' and '.join(roles_of(spec))}.{needs}", "")
        titled = (
            ("Options", spec.options),
            ("As a source", spec.source_options),
            ("As a destination", spec.sink_options),
        )
        for title, group in titled:
            if group:
                yield from ("", f"{title}:", "")
                yield from option_table(group)
        if said := secrets.note(spec):
            yield from ("", said)


def option_table(group: Iterable[click.Option]) -> Iterator[str]:
    """A row an option; hidden ones are left out."""
    rows = [(names(each), value(each), default(each), each.help or "") for each in group if not each.hidden]
    if rows:
        yield from table(("option", "value", "default", "meaning"), rows)


def names(option: click.Option) -> str:
    """All names of an option."""
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def value(option: click.Option) -> str:
    """What an option takes."""
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    return (option.metavar or option.type.name).upper()


def default(option: click.Option) -> str:
    """The default, where there is one worth a word."""
    if callable(option.default) or option.is_flag or not isinstance(option.default, str | int | float):
        return ""
    return f"`{option.default}`" if option.default != "" else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(cell, row))} |"


def cell(text: str) -> str:
    """Text as it can stand in a cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def yes(truth: bool) -> str:
    """A mark."""
    return "✓" if truth else ""


def sentence(text: str) -> str:
    """A phrase as a sentence."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "connector_table": connector_table,
    "global_options": global_options,
    "commands": commands,
    "connectors": connectors,
}

if __name__ == "__main__":
    main()
