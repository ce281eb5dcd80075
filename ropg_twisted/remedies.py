"""The table of reasons: what each means and what to do, for operators.

The status page, the log, ``ropg try`` and the documents show these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ropg_twisted.verdict import Reason

DOCUMENTATION: Final = "https://github.com/ropg-twisted/ropg-twisted/blob/main/docs/"
"""The base URL of the documents."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Row of the table of reasons, in plain text.

    Attributes:
        summary: what the reason means.
        remedy: one sentence that says what to do, empty if nothing is to be done.
        answer: what the client gets. An outage is 503 or a dropped connection.
        details: further sentences for the documents only, in Markdown.
    """

    summary: str
    remedy: str
    answer: str = "outage"
    details: str = ""


REMEDIES: Final[Mapping[Reason, Remedy]] = {
    Reason.VERIFIED: Remedy(
        "The password is right, and the login is complete.",
        "",
        answer="200",
    ),
    Reason.VERIFIED_WITH_CODE: Remedy(
        "The password and the code of the second factor are right.",
        "",
        answer="200",
        details="Only with `ROPG_MFA=code`.",
    ),
    Reason.WRONG_CREDENTIALS: Remedy(
        "Authentik refused the name or the password, or the account is disabled; it does not say "
        "which.",
        "One user: correct the password on the Mac, or see whether the account is locked or "
        "disabled; many users at once: see whether the directory behind Authentik is down.",
        answer="`invalid_grant`",
        details="The first refusals of an [outage of the directory](directories.md) look the same.",
    ),
    Reason.STALE_PASSWORD: Remedy(
        "Authentik refused the same password of the same user a short time ago, and was not asked "
        "again.",
        "If the user has just changed the password to this one, wait ten minutes.",
        answer="`invalid_grant`",
        details="Usually a Mac repeats an old password: nothing to do. A password is remembered "
        "for ten minutes, or for one minute if it was accepted before.",
    ),
    Reason.WRONG_CODE: Remedy(
        "The password is right, but the code after it is wrong.",
        "The user tries again with a new code; if it fails again, compare the clock of the user's "
        "device.",
        answer="`invalid_grant`",
        details="It counts as a failure of the user.",
    ),
    Reason.MFA: Remedy(
        "The password is right, and a second factor comes next.",
        "The profile of the client must list interaction_required as a success.",
        answer="`interaction_required`",
        details="With `ROPG_MFA=tokens` the log says the same, and the answer is 200.",
    ),
    Reason.INTERACTION: Remedy(
        "The password is right, and a consent, a prompt, a password change or a redirect comes "
        "next.",
        "If it happens to everybody, remove that stage from the flow.",
        answer="`interaction_required`",
    ),
    Reason.POLICY: Remedy(
        "A policy of Authentik refuses the user, the user may not use the application, or the flow "
        "ends without a login.",
        "If it happens to everybody, see whether the flow has a user login stage and who may use "
        "the application.",
        answer="`access_denied`",
        details="If the flow has no user login stage on purpose, set `ROPG_LOGIN_STAGE=none`.",
    ),
    Reason.THROTTLED: Remedy(
        "A rate limit of the user or of the address was reached, and Authentik was not asked.",
        "Many Macs at one address: raise the limit of the address in ROPG_LIMITS, or put the proxy "
        "into ROPG_TRUSTED_PROXIES; one user: find the machine by the addresses in the log.",
        answer="429",
        details="[Known networks](glossary.md#protection-and-operation) of a user are not affected "
        "by failures elsewhere.",
    ),
    Reason.REFUSALS_IMPLAUSIBLE: Remedy(
        "Authentik refuses passwords that it accepted before, of several users at once, so no "
        "refusal is believed.",
        "Repair the directory behind Authentik, and do not restart the daemon meanwhile; if you "
        "have set new passwords for all users, wait.",
        answer="outage; a warning of `/ready`",
        details="See [directories.md](directories.md#which-refusals-are-believed).",
    ),
    Reason.REFUSAL_TOO_SLOW: Remedy(
        "Authentik refused the password, but after so long that a directory behind it has probably "
        "timed out.",
        "See whether the directory behind Authentik hangs; if it is always so slow, raise "
        "ROPG_SLOW_REFUSAL.",
        details="See [directories.md](directories.md).",
    ),
    Reason.FLOW_MISSING: Remedy(
        "Authentik has no flow with the configured slug.",
        "Correct FLOW_SLUG, or the path in AUTHENTIK_URL.",
    ),
    Reason.FLOW_DENIED: Remedy(
        "Authentik lets nobody start the flow, because of a policy on it or its authentication "
        "requirement.",
        "If the flow requires an outpost, set ROPG_OUTPOST_TOKEN to a token that Authentik knows; "
        "otherwise remove the policy.",
        details="The requirement is *Authentication* of the flow, for example *Require Outpost*. "
        "If `/ready` is 200 meanwhile, the client has no address (a UNIX socket without a trusted "
        "proxy).",
    ),
    Reason.FLOW_ENDED_EARLY: Remedy(
        "The flow ended before a password was accepted, so it lets nobody in: it is empty, "
        "redirects, or a policy skips the password stage.",
        "Bind a password stage to the flow that no policy skips.",
    ),
    Reason.FLOW_NOT_HEADLESS: Remedy(
        "A captcha, a second factor or another stage comes before the password, or the flow asks "
        "for the password twice.",
        "Use a separate flow for the daemon, without these stages before the password.",
    ),
    Reason.FLOW_RESTARTS: Remedy(
        "The flow restarts after a wrong password, which then looks like a right one, so nothing "
        "is believed.",
        "In Authentik, set the invalid response action of all bindings of the flow to RETRY.",
        answer="outage, and `/ready` is 503",
        details="[Why](authentik.md#how-a-flow-must-refuse). If it happens to single users while "
        "`/ready` is 200, a stage after the password restarts the flow.",
    ),
    Reason.FLOW_UNPROVEN: Remedy(
        "This answer needs evidence that the flow refuses wrong passwords, and there is none yet.",
        "In Authentik, turn on Pretend user exists in the identification stage of the flow.",
        answer="outage; a warning of `/ready` and at the start",
        details="[Why](authentik.md#how-a-flow-must-refuse).",
    ),
    Reason.FLOW_UNKNOWN_STAGE: Remedy(
        "The flow has a stage that this version does not know.",
        "Remove the stage from the flow, or upgrade the daemon.",
    ),
    Reason.FLOW_ERROR: Remedy(
        "Authentik reports an error of the flow.",
        "Read Authentik's log for the same time.",
    ),
    Reason.FLOW_LOOP: Remedy(
        "The flow did not end within 30 answers.",
        "Look in Authentik for a stage of the flow that repeats, and remove it.",
    ),
    Reason.SESSION_LOST: Remedy(
        "Authentik forgot the login under way, or its cookie was lost.",
        "If it goes on after a restart of Authentik, see that its servers share their database and "
        "secret key, and that no proxy removes cookies.",
    ),
    Reason.APPLICATION_MISSING: Remedy(
        "Authentik has no application with the configured slug.",
        "Correct ROPG_APP_SLUG, or create the application in Authentik.",
    ),
    Reason.APPLICATION_NO_CODE: Remedy(
        "Authentik gave no authorization code for upstream tokens.",
        "In Authentik, register the redirect_uri of the client, use its id as the client ID, and "
        "choose an authorization flow with implicit consent.",
    ),
    Reason.PROVIDER_WITHOUT_KEY: Remedy(
        "The provider in Authentik has no signing key, so relayed logins cannot be verified.",
        "In Authentik, choose a signing key in the provider of the application.",
        answer="outage of id tokens; a warning of `/ready` and at the start",
        details="Password checks with the daemon's own tokens go on.",
    ),
    Reason.PROVIDER_TOKEN: Remedy(
        "An id token of Authentik did not verify.",
        "See that the client belongs to the application of ROPG_APP_SLUG, that its provider does "
        "not encrypt tokens, and that the clocks agree to a minute.",
    ),
    Reason.OUTPOST_TOKEN_REFUSED: Remedy(
        "Authentik fails on every request with the outpost token, so the daemon does not use it.",
        "Set ROPG_OUTPOST_TOKEN to the token of an outpost, not of another service account.",
        answer="a warning of `/ready` and at the start",
    ),
    Reason.UPSTREAM_CONNECTION: Remedy(
        "No connection to Authentik, or it broke.",
        "See that Authentik runs, and check the address and name in AUTHENTIK_URL and the firewall "
        "in between.",
    ),
    Reason.UPSTREAM_TLS: Remedy(
        "Authentik's certificate is not trusted or is for another name, or TLS failed.",
        "Renew or correct Authentik's certificate, or set ROPG_CA_FILE to the certificate that "
        "signed it.",
    ),
    Reason.UPSTREAM_TIMEOUT: Remedy(
        "Authentik did not answer in time.",
        "See whether Authentik, or the directory that it asks, is slow or hangs.",
        details="There was no verdict within `ROPG_DEADLINE`, less the time in the queue. See "
        "[directories.md](directories.md).",
    ),
    Reason.UPSTREAM_STATUS: Remedy(
        "Authentik answered with an unexpected HTTP status, usually 500 to 503.",
        "Authentik is starting, down or broken: read its log.",
    ),
    Reason.UPSTREAM_BODY: Remedy(
        "Authentik's answer is not a JSON object, is compressed, or is over 1 MiB.",
        "Something else answers in place of Authentik: check AUTHENTIK_URL and the proxy in front "
        "of Authentik.",
    ),
    Reason.UPSTREAM_REDIRECT: Remedy(
        "Authentik redirects to anywhere but the flow, or before the end of the flow.",
        "Set AUTHENTIK_URL to the final URL of Authentik, with https.",
    ),
    Reason.UPSTREAM_IDENTITY: Remedy(
        "The password is right, but Authentik did not return the user, or returned another user "
        "than that of the session.",
        "Read Authentik's log, and look for a policy on its API and for a cache in front of it.",
    ),
    Reason.BREAKER_OPEN: Remedy(
        "The circuit breaker is open: eight checks in a row found Authentik down, and it is not "
        "asked for five seconds at a time.",
        "Look at the reasons of the checks before: they say why Authentik counts as down.",
        details="See [outages](operations.md#outages).",
    ),
    Reason.OVERLOADED: Remedy(
        "The queue was full, or no slot became free within half of the deadline.",
        "Raise ROPG_MAX_CHECKS, or give Authentik more workers; if it happens to some users only, "
        "look at their directory.",
        details="Checks that hang at a [directory](directories.md#the-daemons-part) take slots "
        "until `ROPG_DEADLINE`.",
    ),
    Reason.CLIENT_GONE: Remedy(
        "The client hung up before the answer, because its own time limit is shorter than the "
        "check.",
        "If it happens often, find out why checks take so long.",
        answer="none",
        details="A check that waits for a slot is given up. A check that has started at Authentik "
        "runs to its end, and its session is removed.",
    ),
    Reason.INTERNAL_ERROR: Remedy(
        "A bug in the daemon.",
        "Please report it, with the line of level error before it in the log.",
    ),
}


def help_url(reason: Reason) -> str:
    """Return the URL of the part of the documents about a reason."""
    return f"{DOCUMENTATION}answers.md#{reason.value}"
