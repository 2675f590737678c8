"""scorestream completion: the script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_SCORESTREAM_COMPLETE"  # click's name for it: _<PROGRAM>_COMPLETE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for this shell, for the shell's start-up file.

    \b
    bash    eval "$(scorestream completion bash)"
    zsh     eval "$(scorestream completion zsh)"
    fish    scorestream completion fish | source
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(ctx.find_root().command, {}, "scorestream", _VARIABLE).source())
