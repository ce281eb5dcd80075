"""Sections of the status page, one function each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Final

from limits import RateLimitItem
from twisted.web.template import Tag, tags

from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.guard.concurrency import QUEUE_FACTOR
from ropg_twisted.oauth.keys import SigningKey
from ropg_twisted.remedies import REMEDIES, help_url
from ropg_twisted.settings.model import Client, SessionRemoval
from ropg_twisted.status.charts import Chart, Series
from ropg_twisted.status.html import (
    Content,
    clock_time,
    code,
    count,
    day,
    definitions,
    duration,
    link,
    moment,
    named,
    number,
    seconds,
    section,
    table,
)
from ropg_twisted.status.state import State
from ropg_twisted.telemetry.history import QUEUE, STAGES, Interval, Period, total
from ropg_twisted.verdict import Reason, Verdict

_VERDICTS: Final = (
    Series("verified", "verified", lambda interval: interval.verdict(Verdict.VERIFIED)),
    Series(
        "interaction",
        "interaction required",
        lambda interval: interval.verdict(Verdict.INTERACTION_REQUIRED),
    ),
    Series("rejected", "rejected", lambda interval: interval.verdict(Verdict.REJECTED)),
    Series("denied", "denied", lambda interval: interval.verdict(Verdict.DENIED)),
    Series("unverifiable", "unverifiable", lambda interval: interval.verdict(Verdict.UNVERIFIABLE)),
)

_STAGES: Final = tuple(
    Series(
        stage,
        "waiting in the queue" if stage == QUEUE else stage,
        partial(Interval.mean, stage=stage),
    )
    for stage in STAGES
)

_EVIDENCE: Final = {
    None: "not known yet",
    Evidence.IN_PLACE: "in place, as it must (in_place)",
    Evidence.RESTARTS: "by a restart, so no answer can be believed (restarts)",
    Evidence.UNKNOWN: "not known: the flow did not ask for the password (unknown)",
}


def glance(state: State) -> Tag:
    """Return the most important numbers."""
    hour = total(state.hour.intervals)
    times = seconds(sum(hour.mean(stage) for stage in STAGES)) if hour.traced else "none yet"
    refused = hour.verdict(Verdict.REJECTED) + hour.verdict(Verdict.DENIED)
    last: Content = "never"
    if state.last_verified is not None:
        last = moment(state.last_verified, state.now)
    pairs: list[tuple[str, Content]] = [
        ("Checks in the last hour", number(hour.checks)),
        ("Verified", number(hour.verdict(Verdict.VERIFIED))),
        (
            "Rejected or denied",
            number(refused),
        ),
        ("Without a verdict", number(hour.verdict(Verdict.UNVERIFIABLE))),
        ("Mean time of a check", times),
        ("At Authentik now", f"{state.running} of {state.settings.max_checks}"),
        ("Waiting now", f"{state.waiting} of {QUEUE_FACTOR * state.settings.max_checks}"),
        ("Last verified", last),
    ]
    return section("At a glance", definitions(pairs, class_="glance"), name="glance")


def period(state: State, name: str) -> Tag:
    """Return the pictures of the last ``hour`` or ``day``."""
    shown: Period = state.hour if name == "hour" else state.day
    whole = total(shown.intervals)
    each = duration(shown.seconds)
    verdicts = ", ".join(
        f"{number(series.value(whole))} {series.label}"
        for series in _VERDICTS
        if series.value(whole)
    )
    mean = sum(whole.mean(stage) for stage in STAGES)

    def start(age: float) -> str:
        return clock_time(state.now - age)

    charts = (
        Chart(
            title="Checks by verdict",
            of=f"the last {name}",
            period=shown,
            series=_VERDICTS,
            least=1,
            write=number,
            start=start,
            summary=f"{verdicts}. One bar is {each}." if verdicts else "There was no check.",
        ),
        Chart(
            title="Time of a check by stage",
            of=f"the last {name}",
            period=shown,
            series=_STAGES,
            least=0.1,
            write=seconds,
            start=start,
            summary=f"{seconds(mean)} on average. One bar is the mean of {each}."
            if whole.traced
            else "Authentik was not asked.",
        ),
    )
    content = [tags.div(*(chart.render() for chart in charts), class_="pair")]
    if len(shown.intervals) < shown.length:
        since = moment(state.started, state.now)
        content.insert(0, tags.p("The daemon has run since ", since, ".", class_="note"))
    return section(f"The last {name}", *content, name=name)


def reasons(state: State) -> Tag:
    """Return what checks without a login came from, and what to do about it."""
    hour, whole = total(state.hour.intervals), total(state.day.intervals)
    counts: Counter[Reason] = Counter()
    for outcome, n in whole.outcomes.items():
        if outcome.verdict is not Verdict.VERIFIED:
            counts[outcome.reason] += n
    rows = [
        (
            named(
                link(code(reason.value), help_url(reason)),
                REMEDIES[reason].summary,
                tags.span(REMEDIES[reason].remedy, class_="todo"),
            ),
            number(hour.reason(reason)),
            number(n),
        )
        for reason, n in counts.most_common()
    ]
    content: list[Tag] = [tags.p("Every check of the last day was verified, or there was none.")]
    if rows:
        heads = ("Reason, and what to do", "Last hour", "Last day")
        content = [table("Checks that were not verified, by reason", heads, rows)]
    content += _errors(
        "Requests refused before a check, by error", "Error", hour.refused, whole.refused
    )
    content += _errors(
        "Codes and refresh tokens relayed to Authentik, by result",
        "Result",
        hour.relayed,
        whole.relayed,
    )
    content += _errors(
        "Introspected tokens, by result", "Result", hour.introspected, whole.introspected
    )
    return section("Refusals and outages", *content, name="reasons")


def _errors(caption: str, head: str, hour: Counter[str], day: Counter[str]) -> Iterator[Tag]:
    if day:
        rows = [(code(name), number(hour[name]), number(n)) for name, n in day.most_common()]
        yield table(caption, (head, "Last hour", "Last day"), rows)


def authentik(state: State) -> Tag:
    """Return what is known about Authentik."""
    settings = state.settings
    refuses = _EVIDENCE[state.evidence]
    if state.evidence_age is not None:
        refuses += f"; seen {duration(state.evidence_age)} ago"
    sessions = (
        f"{number(state.sessions_removed)} removed, "
        f"{number(state.sessions_left_to_expire)} left to expire, "
        f"{number(state.sessions_left)} not removed, {number(state.sessions_waiting)} waiting"
    )
    keeps_sessions = (
        settings.invalidation_flow is None or settings.session_removal is SessionRemoval.NEVER
    )
    pairs: list[tuple[str, Content]] = [
        ("Address", code(settings.authentik_url)),
        ("Flow", code(settings.flow_slug)),
        ("The flow refuses a wrong password", refuses),
        ("Application", code(settings.app_slug)),
        ("Access to the application", "asked" if settings.checks_access else "not asked"),
        ("Circuit breaker", "open: Authentik is not asked" if state.breaker_open else "closed"),
        ("Sessions after checks", "kept" if keeps_sessions else sessions),
    ]
    return section("Authentik", definitions(pairs), name="authentik")


def clients(state: State) -> Tag:
    """Return the clients, with their settings and the number of their checks."""
    hour, whole = total(state.hour.intervals).clients, total(state.day.intervals).clients
    rows = [
        (
            named(
                code(client.id),
                *_client(client),
                f"{number(whole[client.id, Verdict.VERIFIED])} verified in the last day",
            ),
            number(sum(hour[client.id, verdict] for verdict in Verdict)),
            number(sum(whole[client.id, verdict] for verdict in Verdict)),
        )
        for client in state.settings.clients
    ]
    heads = ("Client", "Last hour", "Last day")
    return section("Clients", table("Clients, and their checks", heads, rows), name="clients")


def _client(client: Client) -> Iterator[str]:
    kind = "public" if client.expected_secret_hash is None else "with a secret"
    yield f"{kind}; {', '.join(client.grants)}"
    yield f"second factor: {client.second_factor.value}"
    yield f"limits: {_rate(client.rates.user, 'user')}, {_rate(client.rates.address, 'address')}"
    if client.upstream_tokens:
        yield "gets Authentik's own tokens"
    if client.drop_on_outage:
        yield "an outage drops the connection"


def _rate(rate: RateLimitItem | None, of: str) -> str:
    return f"no limit of the {of}" if rate is None else f"{of} {rate}"


def keys(state: State) -> Tag:
    """Return signing keys and certificates, with their dates."""
    published = state.keys.published or (state.keys.signing,)
    rows: list[tuple[Content, Content]] = [
        (
            named(("Certificate of ", code(certificate.endpoint))),
            day(certificate.expires, state.now),
        )
        for certificate in state.certificates
    ]
    rows += [
        (
            named(code(key.kid or "shared secret"), f"{key.algorithm}; {_use(key, state)}"),
            "no end" if key.published_until == inf else day(key.published_until, state.now),
        )
        for key in published
    ]
    caption = "Certificates of listeners, and published signing keys"
    facts: list[Tag] = []
    if not state.certificates:
        facts.append(tags.p("No listener of the daemon has a certificate.", class_="note"))
    content = table(caption, ("Certificate or key", "Ends"), rows)
    return section("Keys and certificates", content, *facts, name="keys")


def _use(key: SigningKey, state: State) -> str:
    if key == state.keys.signing:
        return "signs now"
    if key.signs_from == inf:
        return "waits for a rotation"
    if key.signs_from > state.now:
        return f"signs in {duration(key.signs_from - state.now)}"
    return "signs no more, but its tokens are still valid"


def limits(state: State) -> Tag:
    """Return the limits in force."""
    settings = state.settings
    where = "in the memory of this daemon"
    if settings.limits_store is not None:
        where = "in Redis, shared with other daemons"
        if state.store_failing:
            where = "in the memory of this daemon, because Redis does not answer"
    networks = [str(network) for network in settings.allowed_networks.networks]
    if settings.allowed_networks.unix:
        networks.append("UNIX sockets")
    slow = settings.slow_refusal
    pairs: list[tuple[str, Content]] = [
        ("Checks at Authentik at a time", number(settings.max_checks)),
        ("Checks that may wait", number(QUEUE_FACTOR * settings.max_checks)),
        ("Time for a check", duration(settings.deadline)),
        ("A refusal is believed", "always" if slow == inf else f"if it came within {slow:g} s"),
        ("Attempts are counted", where),
        ("Networks that may ask", ", ".join(networks)),
        ("Lifetime of a token", duration(settings.token_lifetime)),
        ("Connections of clients now", number(state.connections)),
        ("Log lines dropped", count(state.dropped_lines, "line")),
    ]
    return section("Limits", definitions(pairs), name="limits")
