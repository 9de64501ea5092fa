"""The program: a group whose default command is the copy itself, with commands that are imported when used."""

from __future__ import annotations

import importlib

import click

from dsync.cli import options

# name -> (module:attribute, one line). Sorted as they are shown.
COMMANDS = {
    "verify": ("dsync.cli.verify:verify", "Says which documents the destination lacks, has besides or has otherwise."),
    "repair": ("dsync.cli.repair:repair", "Mends exactly what a report of verify names."),
    "plan": ("dsync.cli.plan:plan", "Says what a copy would do, and touches nothing."),
    "check": ("dsync.cli.check:check", "Says whether an endpoint can be used, and what it can do."),
    "state": ("dsync.cli.state:state", "Lists, shows and resets what earlier runs left."),
    "serve": ("dsync.cli.serve:serve", "Serves a store to other programs over gRPC."),
    "connectors": ("dsync.cli.connectors:connectors", "Lists the stores that dsync knows and what they can do."),
    "new-connector": ("dsync.cli.new_connector:new_connector", "Writes a package with a connector of your own."),
    "help": ("dsync.cli.help:help_", "Prints a store's URIs and options: dsync help s3."),
    "completion": ("dsync.cli.completion:completion", "Prints the script that completes words in your shell."),
}


class Program(click.Group):
    """The first word is a command or SOURCE; a path named like a command is written ./plan."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click."""
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        from dsync.cli.copy import copy

        return "copy", copy, args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options in their groups, then the commands, then where to go on."""
        for title, group in options.GROUPS.items():
            records = [record for option in group if (record := option.get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write_text(
            "Options may stand before SOURCE or behind either end. Each also comes from the environment (DSYNC_MODE;"
            " DSYNC_SOURCE_REGION and DSYNC_DESTINATION_REGION for the ends') and from --config."
        )


def _params() -> list[click.Parameter]:
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Print the version.",
    )
    return [*options.GLOBAL, version]


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"dsync {version('dsync')}")
        ctx.exit()


@click.pass_context
def _copy_what_is_configured(ctx: click.Context, /, **values: object) -> object:
    """Without any word, the ends may stand in the configuration file."""
    if ctx.invoked_subcommand is not None:
        return None
    from dsync.cli.copy import copy

    with copy.make_context("copy", [], parent=ctx) as sub:
        return copy.invoke(sub)


program = Program(
    "dsync",
    callback=_copy_what_is_configured,
    invoke_without_command=True,
    params=_params(),
    help="""Copies data from SOURCE to DESTINATION; the same command again goes on where it stopped.

\b
  dsync people.csv mongodb://localhost/demo      fills demo.people
  dsync mongodb://localhost/demo s3://bucket/backup
  dsync people.csv people.bson
""",
    subcommand_metavar="SOURCE [source options] DESTINATION [destination options] [TRANSFORM [options]]",
    context_settings={"auto_envvar_prefix": "DSYNC", "help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)
