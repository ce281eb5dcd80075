"""Completion of commands in bash, from their options.

Zsh needs none of this: it asks the command itself, by ``share/zsh/site-functions/_ropg`` or, for
``twistd ropg``, by its own ``_twisted``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from twisted.python import usage

Parsers = Mapping[str, usage.Options]
"""The options of each command of a program, and those of the program itself as ``""``."""

_BASH: Final = """\
# Completion of {program} in bash. Made from its options by: make generated

_{program}_ropg() {{
    local word=$2 previous=$3 command= each
    if [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD - 2]}}
    elif [[ $word == = ]]; then
        word=
    fi
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
        case $each in
            {commands}) command=$each; break ;;
        esac
    done
    COMPREPLY=()
    case "$command $previous" in
{values}    esac
    case $command in
{words}    esac
}}

complete -F _{program}_ropg {program}
"""


def bash(program: str, parsers: Parsers) -> str:
    """Return the completion of a program for bash."""
    commands = [command for command in parsers if command]
    return _BASH.format(
        program=program,
        commands="|".join(commands),
        values="".join(_values(parsers)),
        words="".join(
            f"        {command or repr('')}) {_reply('-W', ' '.join(words))} ;;\n"
            for command, words in _words(parsers, commands)
        ),
    )


def _words(parsers: Parsers, commands: list[str]) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the words that may follow a command."""
    if "" not in parsers:
        yield "", commands
    for command, parser in parsers.items():
        words = list(commands) if command == "" else []
        for action in _completions(parser).extraActions:
            words += _items(action)
        yield command, [*words, *(f"--{name.rstrip('=')}" for name in sorted(parser.longOpt))]


def _values(parsers: Parsers) -> Iterator[str]:
    """Yield the branches for the values of options."""
    for command, parser in parsers.items():
        actions = _completions(parser).optActions
        for name in sorted(name for name in parser.longOpt if name.endswith("=")):
            name = name.rstrip("=")
            match actions.get(name):
                case usage.CompleteFiles():
                    reply = f"compopt -o filenames; {_reply('-f')}; "
                case usage.CompleteDirs():
                    reply = f"compopt -o filenames; {_reply('-d')}; "
                case usage.CompleteList() as words:
                    reply = f"{_reply('-W', ' '.join(_items(words)))}; "
                case _:
                    reply = ""
            yield f'        "{command} --{name}") {reply}return ;;\n'


def _completions(parser: usage.Options) -> usage.Completions:
    return getattr(parser, "compData", None) or usage.Completions()


def _items(words: usage.Completer) -> list[str]:
    # Twisted's own completion reads the same attribute.
    return list(getattr(words, "_items", ()))


def _reply(kind: str, words: str | None = None) -> str:
    options = kind if words is None else f"{kind} '{words}'"
    return f'mapfile -t COMPREPLY < <(compgen {options} -- "$word")'
