"""Manual pages of the commands, from their options and the tables of the code: man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from ropg_twisted.remedies import DOCUMENTATION, REMEDIES
from ropg_twisted.settings.table import CONFIG, TABLE, Setting

Parser: TypeAlias = Any  # Twisted does not declare synopsis and longdesc of usage.Options.
"""The options of a command."""

_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def ropg_page(options: Parser, commands: Mapping[str, tuple[Parser, str]]) -> str:
    """Return ropg(1). ``commands``: the options and the summary of each, by its name."""
    lines = [
        *_head("ropg", 1, "administration commands of ropg-twisted"),
        ".SH SYNOPSIS",
        f"{_bold('ropg')} [options]",
    ]
    for name, (parser, _) in commands.items():
        lines += [".br", f"{_bold(f'ropg {name}')} {_text(parser.synopsis)}"]
    lines += [
        ".SH DESCRIPTION",
        _text("These commands are for those who run the daemon. twistd-ropg(8) describes it."),
        *_options(options),
    ]
    for name, (parser, summary) in commands.items():
        lines += [f".SH {name.upper()}", _text(summary), ".PP", _text(parser.longdesc)]
        lines += _options(parser)
    lines += [".SH ENVIRONMENT"]
    for name in ("PROXY_ISSUER", "ROPG_STATE_DIR", "ROPG_SIGNING_ALG"):
        lines += _term(_bold(name), _text(_sentence(TABLE[name].meaning)))
    return _page([*lines, *_see_also("twistd-ropg(8)", "answers")])


def twistd_ropg_page(options: Parser) -> str:
    """Return twistd-ropg(8)."""
    lines = [
        *_head("twistd-ropg", 8, "password checks (OAuth2 password grant) against Authentik"),
        ".SH SYNOPSIS",
        f"{_bold('twistd')} [options of twistd] {_bold('ropg')} [options]",
        ".SH DESCRIPTION",
        _text(
            "The daemon enters user name and password into Authentik's own login flow and tells "
            "the client the result. An outage is never reported as a wrong password."
        ),
        ".PP",
        _text(
            "The first source that has a value for a setting wins: the option, the environment, a "
            "file that the environment names (the name with `_FILE` appended), a systemd "
            "credential, the TOML file, the default. Names in the TOML file are those of the "
            "environment in lower case, without `ROPG_`."
        ),
        *_options(options),
        ".SH SETTINGS",
        *(line for row in (*TABLE.values(), CONFIG) for line in _setting(row)),
        ".SH EXIT STATUS",
        *_term("0", _text("The daemon was told to stop.")),
        *_term("70", _text("It ended for another reason before it listened.")),
        *_term("71", _text("It could not listen at an endpoint.")),
        *_term("78", _text("A setting is invalid, unknown or missing.")),
        ".SH REASONS",
        _text("Each check ends with one of these words in the log and in the metrics."),
        *(
            line
            for reason, row in REMEDIES.items()
            for line in _term(_bold(reason.value), _text(f"{row.summary} {row.remedy}".strip()))
        ),
    ]
    return _page([*lines, *_see_also("ropg(1), twistd(1)", "settings")])


def _head(name: str, section: int, summary: str) -> Iterator[str]:
    yield '.\\" Made from the code by: make generated'
    yield f'.TH {name.upper()} {section} "" ropg-twisted'
    # Names are not hyphenated.
    yield ".nh"
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(summary)}"


def _see_also(pages: str, document: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield _text(pages)
    yield ".PP"
    yield _text(f"{DOCUMENTATION}{document}.md")


def _setting(row: Setting) -> Iterable[str]:
    option = f", {_bold(f'--{row.option}')}" if row.option else ""
    default = row.unset or row.default
    text = f"{_sentence(row.meaning)} {row.details}"
    if row.required:
        text += " Required."
    elif default:
        text += f" Default: {default}."
    return _term(_bold(row.name) + option, _text(text))


def _options(parser: Parser) -> Iterator[str]:
    yield ".SS Options"
    for name in sorted(parser.longOpt):
        value = " " + _italic("value") if name.endswith("=") else ""
        name = name.rstrip("=")
        text = parser.docs[name].strip()
        default = parser.defaults.get(name)
        if value and default is not None:
            text = f"{text} Default: {default}."
        yield from _term(_bold(f"--{name}") + value, _text(text))


def _term(term: str, text: str) -> Iterable[str]:
    return ".TP", term, text


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_escaped(text)}\\fR"


def _text(markdown: str) -> str:
    """Return a line of text. Sentences that only refer to another page are left out."""
    plain = _LINK.sub(r"\1", re.sub(rf"See {_LINK.pattern}\.", "", markdown))
    parts = re.split(r"`([^`]*)`", " ".join(plain.split()))
    marked = (_bold(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))
    text = "".join(marked)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
