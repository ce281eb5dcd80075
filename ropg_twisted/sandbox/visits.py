"""What goes into the executor and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from ropg_twisted.sandbox.challenges import Challenge, redirect
from ropg_twisted.sandbox.people import Person
from ropg_twisted.sandbox.sessions import Plan, Session


@dataclass(frozen=True, slots=True)
class Event:
    """What Authentik's event log would hold: ``kind`` is ``login`` or ``login_failed``."""

    kind: str
    username: str
    address: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the executor.

    ``address``: the client's, as Authentik understands it. ``outpost``: an outpost speaks.
    ``language``: ``de`` or anything else. ``url``: path and query as they were sent.
    ``rewritten``: the same as Authentik writes them back.
    """

    session: Session
    address: str
    url: str
    rewritten: str
    outpost: bool = False
    language: str = ""

    @property
    def plan(self) -> Plan:
        """The plan of the session. Raises ``RuntimeError`` if it is in no flow."""
        if self.session.plan is None:
            raise RuntimeError("the session is in no flow")
        return self.session.plan

    def again(self) -> Reply:
        """Return a redirect to the executor itself.

        It is a 302 if Authentik writes the URL back as it came, else a redirect in JSON.
        """
        if self.url == self.rewritten:
            return Reply()
        return Reply(redirect(self.rewritten))


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: a challenge, or None for a 302 to the same URL.

    ``early``: it came before a stage had a say. ``logged_in``: who has just been logged in, and
    ``known_device`` whether the device is to be remembered. ``disowned``: the session cookie of
    this answer says that nobody is logged in.
    """

    challenge: Challenge | None = None
    early: bool = False
    logged_in: Person | None = None
    known_device: bool = False
    disowned: bool = False
