"""The daemon on flows that blueprints have made: ours, and those of mistakes that people make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.app import Sandbox
from tests.client import Reply
from tests.memory import InMemoryDaemon
from tests.parametrize import parametrize
from tests.provisioning import authentik_models as models
from tests.provisioning.authentik_objects import AuthentikObjects, fresh_authentik
from tests.provisioning.blueprint_sandbox import sandbox_of
from tests.provisioning.cases import SECRETS, TOKEN, usual

Settings: TypeAlias = Mapping[str, str]

READY = {"status": "ready"}


def verdict(reply: Reply) -> str:
    """The error of a response, or ``right``."""
    return str(reply.json["error"]) if reply.status != 200 else "right"


class BlueprintDaemon(InMemoryDaemon):
    """A daemon that uses the flow of a blueprint, of which nothing is known yet."""

    def __init__(
        self, test: SynchronousTestCase, text: str, authentik: AuthentikObjects, environ: Settings
    ) -> None:
        self._text = text
        self._authentik = authentik
        super().__init__(test, **environ)

    def make_sandbox(self) -> Sandbox:
        """The sandbox that the blueprint makes."""
        self._authentik.now = self.clock.seconds()
        self._authentik.apply(self._text, SECRETS)
        return sandbox_of(self._authentik, self.clock)

    def make_evidence(self, clock: IReactorTime) -> FlowEvidence:
        """No evidence: the canary has to look."""
        return FlowEvidence(clock)


class BlueprintFlowTestCase(SynchronousTestCase):
    """A daemon in memory, on the sandbox that a blueprint makes."""

    def daemon(
        self, text: str, authentik: AuthentikObjects | None = None, **environ: str
    ) -> BlueprintDaemon:
        """Apply a blueprint, and return a daemon that uses its flow."""
        usual_settings = {
            "FLOW_SLUG": "ropg",
            "ROPG_APP_SLUG": "jamf-connect",
            "ROPG_OUTPOST_TOKEN": TOKEN,
        }
        authentik = fresh_authentik() if authentik is None else authentik
        return BlueprintDaemon(self, text, authentik, {**usual_settings, **environ})

    def ready(self, daemon: InMemoryDaemon) -> Any:
        """What ``/ready`` says."""
        return daemon.get("/ready").json

    def changed(self, old: str, new: str, **choices: Any) -> str:
        """The usual blueprint, with a change by hand."""
        text = usual(**choices)
        self.assertIn(old, text)
        return text.replace(old, new)


class UsualFlowTests(BlueprintFlowTestCase):
    """The flow of ``ropg blueprint``."""

    def test_each_verdict(self) -> None:
        """Right, wrong, second factor, unknown, not in the group; a space is part of a password."""
        daemon = self.daemon(usual())
        self.assertEqual(self.ready(daemon), READY)
        for name, password, expected in (
            ("alice", USUAL_PASSWORD, "right"),
            ("alice", f"{USUAL_PASSWORD} ", "invalid_grant"),
            ("alice", "wrong", "invalid_grant"),
            ("alice", "alice-app-password-0123456789", "invalid_grant"),
            ("nobody", "wrong", "invalid_grant"),
            ("bob", USUAL_PASSWORD, "interaction_required"),
            ("bob", "wrong", "invalid_grant"),
            ("dave", ' pä"ss&w=örd; ', "access_denied"),
        ):
            self.assertEqual(verdict(daemon.password(name, password)), expected, (name, password))
        self.assertEqual(
            {event.address for event in daemon.sandbox.events if event.username == "alice"},
            {"192.0.2.7"},
            "the address of the client, by the token",
        )

    def test_without_groups_everybody_is_let_in(self) -> None:
        """The blueprint says so at its end."""
        daemon = self.daemon(usual(groups=()))
        self.assertEqual(verdict(daemon.password("dave", ' pä"ss&w=örd; ')), "right")

    def test_without_a_second_factor_nobody_is_asked(self) -> None:
        """A user with a device gets tokens."""
        daemon = self.daemon(usual(second_factor=False))
        self.assertEqual(verdict(daemon.password("bob")), "right")

    @parametrize(
        {
            "inbuilt": ("inbuilt", "right", "invalid_grant"),
            "ldap": ("ldap", "invalid_grant", "right"),
            "both": ("inbuilt,ldap", "right", "right"),
        }
    )
    def test_backends(self, backends: str, own: str, directory: str) -> None:
        """Only those that were chosen are asked."""
        daemon = self.daemon(usual(backends=tuple(backends.split(",")), groups=()))
        self.assertEqual(verdict(daemon.password("alice")), own)
        self.assertEqual(verdict(daemon.password("lea")), directory)

    def test_without_an_outpost_no_token_is_needed(self) -> None:
        """An unknown token is passed over in silence then."""
        daemon = self.daemon(usual(outpost=False), ROPG_OUTPOST_TOKEN="unknown")
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice")), "right")

    def test_without_the_token_nobody_starts_the_flow(self) -> None:
        """Neither a browser, nor a daemon with another token."""
        daemon = self.daemon(usual(), ROPG_OUTPOST_TOKEN="another")
        unavailable = {"status": "unavailable", "reason": "flow_denied"}
        self.assertEqual(self.ready(daemon), unavailable)

    def test_a_code_and_a_refresh_token_are_redeemed(self) -> None:
        """The provider has what a login in a browser needs."""
        daemon = self.daemon(
            self.changed("https://127.0.0.1/jamfconnect", "http://127.0.0.1:8585/callback")
        )
        tokens = daemon.redeem(daemon.code()).json
        self.assertEqual(daemon.verified(tokens["id_token"])["preferred_username"], "alice")
        self.assertIn("refresh_token", tokens)


class MistakeTests(BlueprintFlowTestCase):
    """Flows of mistakes that people make, and what can be seen of them."""

    @parametrize(
        {
            "restart": ("invalid_response_action: restart",),
            "restart with context": ("invalid_response_action: restart_with_context",),
        }
    )
    def test_a_refusal_that_restarts_the_flow(self, action: str) -> None:
        """Nothing is believed, and ``/ready`` says why."""
        daemon = self.daemon(self.changed("invalid_response_action: retry", action))
        unavailable = {"status": "unavailable", "reason": "flow_restarts"}
        self.assertEqual(self.ready(daemon), unavailable)
        for password in (USUAL_PASSWORD, "wrong"):
            self.assertEqual(verdict(daemon.password("alice", password)), "temporarily_unavailable")

    def test_no_login_stage(self) -> None:
        """``/ready`` sees nothing, and everybody is refused."""
        login = 'userloginstage, [name, "ropg-login"]]\n    attrs:'
        unbound = self.changed(login, login.replace("    attrs", "    state: absent\n    attrs"))
        daemon = self.daemon(unbound)
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice")), "access_denied")
        self.assertEqual(verdict(daemon.password("alice", "wrong")), "invalid_grant")

    def test_a_token_that_expires(self) -> None:
        """All is well for half an hour."""
        daemon = self.daemon(self.changed("      expiring: false\n", ""))
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice")), "right")
        daemon.clock.advance(30 * 60)
        self.assertEqual(verdict(daemon.password("alice")), "temporarily_unavailable")
        self.assertEqual(daemon.logged("reason")[-1], "flow_denied")

    def test_our_token_does_not_expire(self) -> None:
        """Not in half an hour, and not in a month."""
        daemon = self.daemon(usual())
        daemon.clock.advance(31 * 86400)
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice")), "right")

    def combined(self, *, separate: bool) -> InMemoryDaemon:
        """A daemon on a flow whose first form asks for the password too."""
        mine = '!Find [authentik_stages_password.passwordstage, [name, "mine"]]'
        text = self.changed("password_stage: null", f"password_stage: {mine}")
        if not separate:
            bound = 'passwordstage, [name, "ropg-password"]]\n    attrs:'
            text = text.replace(bound, bound.replace("    attrs", "    state: absent\n    attrs"))
        authentik = fresh_authentik()
        authentik.create(models.PASSWORD, name="mine", backends=[])
        return self.daemon(text, authentik)

    def test_a_password_stage_in_the_form_of_the_name(self) -> None:
        """A right password with a space at its end gets tokens."""
        daemon = self.combined(separate=False)
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice", f"{USUAL_PASSWORD} ")), "right")

    def test_a_password_stage_in_both_places(self) -> None:
        """The password is asked for twice: an outage, although ``/ready`` sees nothing."""
        daemon = self.combined(separate=True)
        self.assertEqual(self.ready(daemon), READY)
        self.assertEqual(verdict(daemon.password("alice")), "temporarily_unavailable")
        self.assertEqual(daemon.logged("reason")[-1], "flow_not_headless")

    def test_a_flow_of_the_same_slug_that_was_made_by_hand(self) -> None:
        """Our stages are added to its own: name and password are asked for twice."""
        authentik = fresh_authentik()
        flow = authentik.create(
            models.FLOW, slug="ropg", name="mine", title="Mine", designation="authentication"
        )
        by_hand = (
            authentik.create(models.IDENTIFICATION, name="mine-1", user_fields=["username"]),
            authentik.create(
                models.PASSWORD,
                name="mine-2",
                backends=["authentik.core.auth.InbuiltBackend"],
            ),
            authentik.create(models.LOGIN, name="mine-3"),
        )
        for order, stage in zip((10, 20, 100), by_hand, strict=True):
            authentik.create(models.BINDING, target=flow["pk"], stage=stage["pk"], order=order)
        daemon = self.daemon(usual(), authentik)
        self.assertEqual(verdict(daemon.password("alice")), "temporarily_unavailable")
        self.assertEqual(daemon.logged("reason")[-1], "session_lost")

    def test_a_second_factor_that_is_required(self) -> None:
        """A user without a device is denied, and not told that the password is wrong."""
        daemon = self.daemon(
            self.changed("not_configured_action: skip", "not_configured_action: deny")
        )
        self.assertEqual(verdict(daemon.password("alice")), "access_denied")
        self.assertEqual(verdict(daemon.password("bob")), "interaction_required")

    def test_no_signing_key(self) -> None:
        """Authentik takes it, and ``/ready`` warns."""
        authentik = fresh_authentik(
            "authentik Self-signed Certificate", "authentik Internal JWT Certificate"
        )
        daemon = self.daemon(usual(), authentik)
        warning = {"status": "ready", "warning": "provider_without_key"}
        self.assertEqual(self.ready(daemon), warning)
        self.assertEqual(verdict(daemon.password("alice")), "right")

    def test_app_passwords(self) -> None:
        """With their backend, the password of a script is one of the Mac."""
        added = "authentik.core.auth.InbuiltBackend\n        - authentik.core.auth.TokenBackend"
        daemon = self.daemon(self.changed("authentik.core.auth.InbuiltBackend", added))
        self.assertEqual(
            verdict(daemon.password("alice", "alice-app-password-0123456789")), "right"
        )
