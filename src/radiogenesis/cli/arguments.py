"""One parser for every verb: settings come from dataclasses, their docstrings become the help, YAML files are read.

A settings class is a frozen, keyword-only dataclass; the string under each field says what it is, its unit and
its source. `parser("cohort build", "...")` then `add_settings(parser, SamplingSettings)`; after parsing,
`settings_from(parsed, SamplingSettings)` gives the object back.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from radiogenesis.errors import SettingError

set_parsing_settings(docstring_parse_attribute_docstrings=True)

Settings = TypeVar("Settings")


class VerbParser(ArgumentParser):
    """An argument parser whose errors are one line on stderr, exit code 2."""

    def parse(self, args: list[str]) -> Namespace:
        """Parse; a settings file that is not YAML is named."""
        for option, value in pairwise(args):
            if option == "--config" and Path(value).is_file():
                try:
                    yaml.safe_load(Path(value).read_text(encoding="utf-8"))
                except (yaml.YAMLError, UnicodeDecodeError) as error:
                    problem = " ".join(str(error).split())
                    raise SettingError(f"is not YAML ({problem})", path=value, remedy="mend the file") from error
        return self.parse_args(args)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise SettingError(" ".join(message.split()), remedy=f"see `{self.prog} --help`") from ex


def parser(verb: str, description: str) -> VerbParser:
    """A parser for one verb, with `--config FILE.yaml` for its settings."""
    made = VerbParser(prog=f"radiogenesis {verb}", description=description, print_config=None, allow_abbrev=False)
    made.add_argument("--config", action="config", help="YAML file with settings; options given after it win.")
    return made


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
