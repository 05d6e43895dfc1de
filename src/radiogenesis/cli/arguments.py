"""One parser for every verb: settings come from dataclasses, their docstrings become the help, YAML files are read.

A settings class is a frozen, keyword-only dataclass; the string under each field says what it is, its unit and
its source. `parser("cohort build", "...")` then `add_settings(parser, SamplingSettings)`; after parsing,
`settings_from(parsed, SamplingSettings)` gives the object back.
"""

from __future__ import annotations

import dataclasses
import json
import re
from argparse import SUPPRESS, Action, HelpFormatter
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from radiogenesis.errors import SettingError
from radiogenesis.given_files import read_yaml

set_parsing_settings(docstring_parse_attribute_docstrings=True)

Settings = TypeVar("Settings")
ADVANCED = "advanced"
"""After --help: show every option."""


_OPTIONAL = re.compile(r"^(typing\.)?(optional|union)\[", re.IGNORECASE)


class VerbParser(ArgumentParser):
    """An argument parser whose errors are one line on stderr, exit code 2.

    Attributes:
        first: options that --help shows where there are too many; `--help advanced` shows all. Empty: always all.
    """

    first: frozenset[str] = frozenset()
    _advanced = False

    def parse(self, args: list[str]) -> Namespace:
        """Parse; a settings file that is not YAML is named."""
        if ("--help", ADVANCED) in pairwise(args):
            self._advanced = True
            args = [word for word in args if word != ADVANCED]
        for option, value in pairwise(args):
            if option == "--config" and Path(value).is_file():
                try:
                    read_yaml(Path(value))
                except ValueError as error:
                    raise SettingError(f"is not YAML ({error})", path=value, remedy="mend the file") from error
        parsed = self.parse_args(self._with_lists(args))
        self._refuse_null(parsed)
        return parsed

    def _refuse_null(self, parsed: Namespace) -> None:
        """Raises SettingError where `null` is given for a setting that has a value: the parser lets it pass."""
        for action in self._actions:
            hint = str(getattr(action, "_typehint", None) or action.type or "")
            optional = hint in ("", "None") or any(word in hint for word in ("Optional", "None", "Any"))
            if not optional and action.default is not None and parsed.get(action.dest, action.default) is None:
                raise SettingError(
                    f"{action.dest} null: it needs a value", remedy=f"leave it out for {action.default}, or see --help"
                )

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        for action in self._actions:
            if _list_kind(action) and action.option_strings:
                action.metavar = "A,B,..."
        if self.first and not self._advanced:
            self._hide_advanced()
        return super().format_help(formatter)

    def _hide_advanced(self) -> None:
        """Leave the first options; say how many others there are, and how to see them."""
        shown = [action for action in self._actions if action.option_strings and action.help != SUPPRESS]
        others = [action for action in shown if action.dest not in self.first]
        for action in others:
            action.help = SUPPRESS
        for group in self._action_groups:
            if all(action.help == SUPPRESS for action in group._group_actions):
                group.title = group.description = None
        self.epilog = f"{len(others)} more settings: {self.prog} --help {ADVANCED}"

    def _with_lists(self, args: list[str]) -> list[str]:
        """Lists as the parser reads them. People write `A B`, `A,B`, `A, B` or `[A,B]`, whatever the option."""
        joined: list[str] = []
        rest = [part for word in args for part in self._split(word)]
        while rest:
            word = rest.pop(0)
            action = self._option_string_actions.get(word)
            kind = _list_kind(action)
            joined.append(word)
            if kind is None or not rest or rest[0] == "null":
                continue
            taken = _taken(rest)
            del rest[: len(taken)]
            items = (
                [item.strip(" \"'") for item in " ".join(taken).strip("[]()").split(",")] if _joined(taken) else taken
            )
            items = [item for item in items if item]
            if getattr(action, "nargs", None) in ("+", "*"):
                joined += items
            else:
                joined.append(json.dumps(items) if kind is str else f"[{', '.join(items)}]")
        return joined

    def _split(self, word: str) -> list[str]:
        """`--option=value` as two words where the option takes a list."""
        option, sign, value = word.partition("=")
        return [option, value] if sign and _list_kind(self._option_string_actions.get(option)) else [word]

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise SettingError(" ".join(message.split()), remedy=f"see `{self.prog} --help`") from ex


def _list_kind(action: Action | None) -> type | None:
    """str or float for an option that takes several values, None for others. Numbers are not put into quotes."""
    if action is None:
        return None
    hint = str(getattr(action, "_typehint", None) or "")
    if action.nargs in ("+", "*"):
        return str
    hint = _OPTIONAL.sub("", hint)
    if not hint.removeprefix("typing.").lower().startswith(("list[", "tuple[")):
        return None
    return str if "str" in hint or "Literal" in hint else float


def _joined(words: list[str]) -> bool:
    """Whether commas or brackets stand between the items. A path that is there is no list, whatever its name."""
    return any("," in word for word in words if not Path(word).exists()) or words[0].startswith(("[", "("))


def _taken(words: list[str]) -> list[str]:
    """The words at the head that belong to one option: up to the next one, or to where commas or brackets end."""
    values = list(takewhile(lambda word: not word.startswith("--"), words))
    if not values or not _joined(values[:1]):
        return values
    if values[0].startswith(("[", "(")):
        end = next((k for k, word in enumerate(values) if word.endswith(("]", ")"))), len(values) - 1)
        return values[: end + 1]
    end = 0
    while end + 1 < len(values) and (values[end].endswith(",") or values[end + 1].startswith(",")):
        end += 1
    return values[: end + 1]


def parser(verb: str, description: str) -> VerbParser:
    """A parser for one verb, with `--config FILE.yaml` for its settings."""
    options = VerbParser(prog=f"radiogenesis {verb}", description=description, print_config=None, allow_abbrev=False)
    options.add_argument("--config", action="config", help="YAML file with settings; options given after it win.")
    return options


def add_settings(verb_parser: VerbParser, kind: type[Any], skip: set[str] | None = None) -> None:
    """Make every field of the settings dataclass `kind` an option, with its docstring as help."""
    verb_parser.add_class_arguments(kind, None, skip=set(skip or ()), fail_untyped=True)


def settings_from(parsed: Namespace, kind: type[Settings], **overrides: Any) -> Settings:
    """The settings object that was parsed. Raises SettingError where its own checks refuse a value."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in vars(parsed).items() if name in names} | overrides
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingError(str(error)) from error
