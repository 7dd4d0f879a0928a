"""A command group that imports a command's module only when the command is run: start-up time is felt at every call."""

from __future__ import annotations

import importlib

import click


class LazyGroup(click.Group):
    """``commands`` maps a name to ``("module:attribute", "one line of help")``; the help of the group needs no import at all."""

    def __init__(self, name: str | None = None, *, lazy: dict[str, tuple[str, str]], **attributes: object) -> None:
        super().__init__(name, **attributes)  # type: ignore[arg-type]
        self.lazy = lazy

    def list_commands(self, context: click.Context) -> list[str]:
        return [*self.lazy, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.lazy:
            return super().get_command(context, name)
        module, _, attribute = self.lazy[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])
