"""A sandbox that is set up by a blueprint.

``python -m tests.provisioning.blueprint_sandbox PORT FILE`` serves one on 127.0.0.1. As Authentik
does, it takes ``!Env`` from its environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from ropg_twisted.sandbox.flow.flows import (
    Binding,
    DeniedAction,
    Flow,
    Identification,
    InvalidResponseAction,
    Login,
    NotConfigured,
    Password,
    Requirement,
    SecondFactor,
    Stage,
)
from ropg_twisted.sandbox.flow.sessions import Clock
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from ropg_twisted.sandbox.http.outposts import OutpostToken
from ropg_twisted.sandbox.oauth2.applications import Application
from tests.provisioning import authentik_models as models
from tests.provisioning.authentik_objects import AuthentikObjects, Object, fresh_authentik

REQUIREMENTS = {
    "none": Requirement.NONE,
    "require_unauthenticated": Requirement.UNAUTHENTICATED,
    "require_outpost": Requirement.OUTPOST,
}


def sandbox_of(authentik: AuthentikObjects, clock: Clock) -> Sandbox:
    """Return a sandbox with the flows, applications and outpost tokens of an Authentik."""
    return Sandbox(
        clock,
        flows=[_flow(authentik, flow) for flow in authentik.all(models.FLOW)],
        applications=[
            _application(authentik, each)
            for each in authentik.all(models.APPLICATION)
            if each["provider"] is not None
        ],
        outpost_tokens=[
            OutpostToken(token["key"], token["expires"] if token["expiring"] else None)
            for token in authentik.all(models.TOKEN)
        ],
    )


def _flow(authentik: AuthentikObjects, flow: Object) -> Flow:
    bound = [each for each in authentik.all(models.BINDING) if each["target"] == flow["pk"]]
    bindings = tuple(
        Binding(
            _stage(authentik, each["stage"]),
            invalid_response_action=InvalidResponseAction[each["invalid_response_action"].upper()],
            evaluate_on_plan=each["evaluate_on_plan"],
            re_evaluate_policies=each["re_evaluate_policies"],
        )
        for each in sorted(bound, key=lambda each: int(each["order"]))
    )
    return Flow(
        flow["slug"],
        bindings,
        designation=flow["designation"],
        requires=REQUIREMENTS[flow["authentication"]],
        denied_action=DeniedAction[flow["denied_action"].upper()],
    )


def _stage(authentik: AuthentikObjects, key: str) -> Stage:
    stage = authentik.get(key)
    [model] = [model for model in models.STAGES if stage in authentik.all(model)]
    if model == models.IDENTIFICATION:
        return Identification(
            user_fields=tuple(stage["user_fields"]),
            combined=stage["password_stage"] is not None,
            pretend_user_exists=stage["pretend_user_exists"],
            captcha=stage["captcha_stage"] is not None,
        )
    if model == models.PASSWORD:
        backends = {name.rpartition(".")[2] for name in stage["backends"]}
        return Password(
            attempts=stage["failed_attempts_before_cancel"],
            inbuilt="InbuiltBackend" in backends,
            app_passwords="TokenBackend" in backends,
            ldap="LDAPBackend" in backends,
        )
    if model == models.MFA:
        action = NotConfigured[stage["not_configured_action"].upper()]
        return SecondFactor(action, tuple(stage["device_classes"]))
    return Login(asks=stage["remember_me_offset"] != "seconds=0")


def _application(authentik: AuthentikObjects, application: Object) -> Application:
    provider = authentik.get(application["provider"])
    bindings = [
        each
        for each in authentik.all(models.POLICY_BINDING)
        if each["target"] == application["pk"] and each["enabled"]
    ]
    return Application(
        application["slug"],
        application["name"],
        provider["client_id"],
        secret=provider["client_secret"],
        public=provider["client_type"] == "public",
        has_key=provider["signing_key"] is not None,
        redirect_uris=tuple(each["url"] for each in provider["redirect_uris"]),
        scopes=tuple(authentik.get(key)["scope_name"] for key in provider["property_mappings"]),
        groups=tuple(authentik.get(each["group"])["name"] for each in bindings),
    )


async def serve(reactor: Any, port: str, path: str) -> None:
    """Apply the blueprint of a file twice, and serve the sandbox until a signal."""
    authentik = fresh_authentik(now=reactor.seconds())
    for _ in range(2):
        authentik.apply(Path(path).read_text("utf-8"), os.environ)
    site = sandbox_site(sandbox_of(authentik, reactor))
    await TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1").listen(site)
    print(f"The sandbox is at http://127.0.0.1:{port}", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(serve, sys.argv[1:])
