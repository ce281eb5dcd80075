"""Blueprints, as an Authentik reads and applies them."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import yaml
from authentik_client import models as vendor
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.provisioning.blueprint.document import render
from ropg_twisted.provisioning.blueprint.flow import BACKENDS
from ropg_twisted.provisioning.blueprint.model import Backend, Blueprint, SecretSource
from ropg_twisted.provisioning.blueprint.syntax import quoted
from tests import FIRST_PYTHON_ONLY
from tests.parametrize import parametrize
from tests.paths import CHECKOUT
from tests.provisioning import authentik_models as models
from tests.provisioning.authentik_objects import AuthentikObjects, fresh_authentik
from tests.provisioning.blueprint_yaml import BlueprintError, load
from tests.provisioning.cases import SECRETS, TOKEN, USUAL, applied, blueprints, texts, usual


def objects(authentik: AuthentikObjects) -> dict[str, Any]:
    """All objects, but for the time at which a token would expire if it did."""
    found = deepcopy(authentik.objects)
    for token in found[models.TOKEN]:
        token.pop("expires", None)
    return found


class SyntaxTests(SynchronousTestCase):
    """Texts in a blueprint."""

    @given(texts())
    def test_a_quoted_text_is_that_text(self, text: str) -> None:
        """It is on one line, in a comment and in a list too, and never of another type."""
        written = quoted(text)
        self.assertEqual(len(written.splitlines()), 1)
        document = f"# {written}\na: {written}\nb: [{written}, x]\n"
        self.assertEqual(yaml.safe_load(document), {"a": text, "b": [text, "x"]})


class DocumentTests(SynchronousTestCase):
    """The document as a whole."""

    @given(blueprints())
    def test_all_values_arrive(self, blueprint: Blueprint) -> None:
        """Whatever the texts are, each is where it belongs after the blueprint was applied."""
        text = render(blueprint)
        self.assertEqual(render(blueprint), text, "stable byte for byte")
        authentik = fresh_authentik()
        authentik.apply(text)
        flow = authentik.find(models.FLOW, {"slug": blueprint.slug})
        assert flow is not None
        [provider] = authentik.all(models.OAUTH2)
        [application] = authentik.all(models.APPLICATION)
        self.assertEqual(provider["client_id"], blueprint.client_id)
        self.assertEqual(
            tuple(each["url"] for each in provider["redirect_uris"]), blueprint.redirect_uris
        )
        if blueprint.confidential:
            self.assertEqual(provider["client_secret"], blueprint.client_secret)
        self.assertEqual(
            (application["slug"], application["provider"]), (blueprint.application, provider["pk"])
        )
        groups = (authentik.get(each["group"]) for each in authentik.all(models.POLICY_BINDING))
        self.assertEqual(tuple(group["name"] for group in groups), blueprint.groups)
        self.assertEqual(len(authentik.all(models.BINDING)), 3 + blueprint.second_factor)
        tokens = [token["key"] for token in authentik.all(models.TOKEN)]
        if not blueprint.outpost:
            self.assertEqual(tokens, [])
        elif blueprint.outpost_token is not None:
            self.assertEqual(tokens, [blueprint.outpost_token])

    @given(blueprints())
    def test_applying_it_twice_changes_nothing(self, blueprint: Blueprint) -> None:
        """The second time finds every object as it should be."""
        authentik = fresh_authentik()
        authentik.apply(render(blueprint))
        once = objects(authentik)
        authentik.apply(render(blueprint))
        self.assertEqual(objects(authentik), once)

    def test_it_is_for_readers(self) -> None:
        """Each kind of object is explained, and the steps by hand are counted at the end."""
        text = usual()
        entries, _, by_hand = text.partition("# By hand")
        kinds = {entry["model"] for entry in load(text)["entries"]}
        explained = {
            block.split("- model: ")[1].split("\n")[0]
            for block in entries.partition("entries:\n")[2].split("\n\n")
            if block.lstrip().startswith("#")
        }
        self.assertEqual(kinds - explained, {"authentik_policies.policybinding"})
        self.assertTrue(all(line.startswith("#") for line in f"#{by_hand}".splitlines()))
        self.assertIn("\n# 6. The settings file of the daemon has these lines", by_hand)
        self.assertLessEqual(max(len(line) for line in by_hand.splitlines()[:-1]), 100)

    def test_an_identifier_is_never_what_may_change(self) -> None:
        """Another order or another name finds the same object, instead of making a second."""
        allowed = {"name", "slug", "client_id", "target", "stage", "group", "identifier"}
        for entry in load(usual())["entries"]:
            self.assertLessEqual(set(entry["identifiers"]), allowed)
        again = usual().replace("order: 20", "order: 25")
        authentik = applied(usual(), again)
        orders = [each["order"] for each in authentik.all(models.BINDING)]
        self.assertEqual(orders, [10, 25, 30, 100])

    def test_an_entry_refers_by_find(self) -> None:
        """An entry that fails and holds a key loses its error in Authentik."""
        self.assertNotIn("!KeyOf ", usual())


class ChoiceTests(SynchronousTestCase):
    """The choices of a blueprint, in the objects of Authentik."""

    def test_the_usual_flow(self) -> None:
        """Name, password, second factor and login, each of which answers a refusal in place."""
        authentik = applied(usual())
        stages = [authentik.get(each["stage"])["name"] for each in authentik.all(models.BINDING)]
        self.assertEqual(stages, ["ropg-identification", "ropg-password", "ropg-mfa", "ropg-login"])
        for binding in authentik.all(models.BINDING):
            self.assertEqual(binding["invalid_response_action"], "retry")
        flow = authentik.find(models.FLOW, {"slug": "ropg"})
        assert flow is not None
        self.assertEqual(flow["authentication"], "require_outpost")
        [login] = authentik.all(models.LOGIN)
        self.assertEqual(
            (login["session_duration"], login["terminate_other_sessions"]), ("minutes=2", False)
        )

    def test_the_provider_has_all_that_a_login_needs(self) -> None:
        """Flows, a key, grant types and scopes: what is missing fails late, or in silence."""
        [provider] = applied(usual()).all(models.OAUTH2)
        self.assertEqual(provider["grant_types"], ["authorization_code", "refresh_token"])
        self.assertIsNotNone(provider["signing_key"])
        self.assertIsNone(provider["encryption_key"])
        self.assertEqual(len(provider["property_mappings"]), 4)
        self.assertEqual(provider["client_type"], "public")

    def test_another_key_is_taken_if_the_first_is_missing(self) -> None:
        """The one that Authentik has for tokens; without both it sets none, and does not fail."""
        for without, found in (
            (("authentik Self-signed Certificate",), "authentik Internal JWT Certificate"),
            (("authentik Self-signed Certificate", "authentik Internal JWT Certificate"), None),
        ):
            authentik = fresh_authentik(*without)
            authentik.apply(usual(), SECRETS)
            [provider] = authentik.all(models.OAUTH2)
            key = provider["signing_key"]
            self.assertEqual(None if key is None else authentik.get(key)["name"], found)

    def test_backends_are_those_that_were_chosen(self) -> None:
        """App passwords are never among them."""
        for backend in Backend:
            [stage] = applied(usual(backends=(backend,))).all(models.PASSWORD)
            self.assertEqual(stage["backends"], [BACKENDS[backend]])
        self.assertNotIn("authentik.core.auth.TokenBackend", BACKENDS.values())

    def test_the_outpost_is_of_type_proxy(self) -> None:
        """It has the provider that it needs, and its token is ours and does not expire."""
        authentik = applied(usual())
        [outpost] = authentik.all(models.OUTPOST)
        [provider] = authentik.all(models.PROXY)
        self.assertEqual((outpost["type"], outpost["providers"]), ("proxy", [provider["pk"]]))
        [token] = authentik.all(models.TOKEN)
        self.assertEqual((token["key"], token["expiring"]), (TOKEN, False))

    def test_without_its_secret_the_outpost_keeps_the_token_that_authentik_made(self) -> None:
        """The entry is skipped, and the token does not expire either."""
        authentik = fresh_authentik()
        for text in (usual(), usual(secrets=SecretSource.PLAINTEXT)):
            authentik.apply(text)
            [token] = authentik.all(models.TOKEN)
            self.assertTrue(token["key"].startswith("made-by-authentik-"))
            self.assertFalse(token["expiring"])

    def test_a_confidential_client_without_its_secret_is_refused(self) -> None:
        """Authentik would otherwise make a secret that nobody knows."""
        authentik = fresh_authentik()
        with self.assertRaises(BlueprintError) as caught:
            authentik.apply(usual(confidential=True))
        self.assertEqual(str(caught.exception), "client_secret: This field may not be null.")

    def test_secrets_of_the_context(self) -> None:
        """They come with the blueprint instance."""
        authentik = fresh_authentik()
        text = usual(confidential=True, secrets=SecretSource.CONTEXT)
        context = {name.lower(): value for name, value in SECRETS.items()}
        authentik.apply(text, context=context)
        [provider], [token] = authentik.all(models.OAUTH2), authentik.all(models.TOKEN)
        self.assertEqual({provider["client_secret"], token["key"]}, set(SECRETS.values()))

    def test_secrets_are_written_only_if_asked(self) -> None:
        """A file that has them says so at its head."""
        known = {"client_secret": "canary-1", "outpost_token": "canary-2", "confidential": True}
        for source in SecretSource:
            text = usual(**known, secrets=source)
            self.assertEqual("canary" in text, source is SecretSource.PLAINTEXT)
            self.assertEqual("CONTAINS SECRETS" in text, source is SecretSource.PLAINTEXT)
        self.assertNotIn("CONTAINS SECRETS", usual(secrets=SecretSource.PLAINTEXT))
        shown = repr(replace(USUAL, client_secret="canary", outpost_token="canary"))
        self.assertNotIn("canary", shown)

    def test_a_second_factor_can_be_turned_off(self) -> None:
        """The stage of an earlier blueprint goes, with its binding, and only once."""
        authentik = applied(usual(), usual(second_factor=False), usual(second_factor=False))
        self.assertEqual(authentik.all(models.MFA), [])
        stages = [authentik.get(each["stage"])["name"] for each in authentik.all(models.BINDING)]
        self.assertEqual(stages, ["ropg-identification", "ropg-password", "ropg-login"])

    def test_sessions_last_as_long_as_upstream_tokens(self) -> None:
        """Authentik's access tokens end with the session."""
        authentik = applied(usual(upstream_tokens=True))
        [login], [provider] = authentik.all(models.LOGIN), authentik.all(models.OAUTH2)
        self.assertEqual(login["session_duration"], "hours=1")
        self.assertEqual(provider["access_token_validity"], "hours=1")

    def test_without_an_outpost_everybody_may_start_the_flow(self) -> None:
        """There is neither outpost nor token."""
        authentik = applied(usual(outpost=False))
        flow = authentik.find(models.FLOW, {"slug": "ropg"})
        assert flow is not None
        self.assertEqual(flow["authentication"], "none")
        for model in (models.OUTPOST, models.PROXY, models.TOKEN):
            self.assertEqual(authentik.all(model), [])

    def test_changes_by_hand_to_what_is_listed_are_undone(self) -> None:
        """Others stay."""
        authentik = applied(usual())
        [stage] = authentik.all(models.PASSWORD)
        stage["backends"], stage["failed_attempts_before_cancel"] = [], 3
        authentik.apply(usual(), SECRETS)
        self.assertEqual(len(stage["backends"]), 3)
        self.assertEqual(stage["failed_attempts_before_cancel"], 3)

    def test_a_group_that_exists_is_left_alone(self) -> None:
        """It is used as it is."""
        authentik = fresh_authentik()
        group = authentik.create(models.GROUP, name="mac-users")
        authentik.apply(usual(), SECRETS)
        [binding] = authentik.all(models.POLICY_BINDING)
        self.assertEqual(binding["group"], group["pk"])

    def test_a_provider_of_the_same_client_is_adopted(self) -> None:
        """One that only has the same name is not: Authentik refuses the blueprint then."""
        adopting, refusing = self.with_provider("jamf-connect"), self.with_provider("other")
        adopting.apply(usual(), SECRETS)
        self.assertEqual(len(adopting.all(models.OAUTH2)), 1)
        before = objects(refusing)
        with self.assertRaises(BlueprintError) as caught:
            refusing.apply(usual(), SECRETS)
        self.assertEqual(str(caught.exception), "name: This field must be unique.")
        self.assertEqual(objects(refusing), before, "what is refused changes nothing")

    def with_provider(self, client_id: str) -> AuthentikObjects:
        """An Authentik with a provider of the usual name, made by hand."""
        authentik = fresh_authentik()
        flow = authentik.all(models.FLOW)[0]["pk"]
        authentik.create(
            models.OAUTH2,
            name="jamf-connect",
            client_id=client_id,
            redirect_uris=[],
            authorization_flow=flow,
            invalidation_flow=flow,
        )
        return authentik


class RemovalTests(SynchronousTestCase):
    """The blueprint in ``docs/authentik.md`` that removes everything."""

    def setUp(self) -> None:
        page = (CHECKOUT / "docs" / "authentik.md").read_text("utf-8")
        [self.removal] = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    def test_only_the_group_is_left(self) -> None:
        """Everything else is as it was before, also the second time."""
        authentik = fresh_authentik()
        group = authentik.create(models.GROUP, name="mac-users")
        before = objects(authentik)
        for text in (usual(), self.removal, self.removal):
            authentik.apply(text, SECRETS)
        self.assertEqual(objects(authentik), before)
        self.assertEqual(authentik.all(models.GROUP), [group])

    def test_the_blueprint_can_be_applied_again(self) -> None:
        """It finds nothing in its way."""
        authentik = applied(usual(), self.removal, usual())
        self.assertEqual(len(authentik.all(models.BINDING)), 4)


class RefusalTests(SynchronousTestCase):
    """What Authentik says of a blueprint that does not fit it, or was changed by hand."""

    @parametrize(
        {
            "no authorization flow": (
                "default-provider-authorization-implicit-consent",
                "authorization_flow: This field may not be null.",
            ),
            "no invalidation flow": (
                "default-provider-invalidation-flow",
                "invalidation_flow: This field may not be null.",
            ),
            "no scope mapping": (
                "openid",
                'property_mappings: Invalid pk "None" - object does not exist.',
            ),
        }
    )
    def test_an_object_of_authentik_is_missing(self, name: str, refusal: str) -> None:
        """It has another name there."""
        with self.assertRaises(BlueprintError) as caught:
            fresh_authentik(name).apply(usual(), SECRETS)
        self.assertEqual(str(caught.exception), refusal)

    @parametrize(
        {
            "an outpost without a provider": (
                "      providers:\n        - !Find [authentik_providers_proxy",
                "      providers: []\n      ignored:\n        - !Find [authentik_providers_proxy",
                "providers: This list may not be empty.",
            ),
            "an outpost without a configuration": (
                "      config: {}\n",
                "",
                "config: This field is required.",
            ),
            "an outpost of another type": (
                "type: proxy",
                "type: ldap",
                "Outpost type ldap can't be used with ProxyProvider providers.",
            ),
            "no group": (
                '[authentik_core.group, [name, "mac-users"]]',
                '[authentik_core.group, [name, "others"]]',
                "One of 'group', 'policy', 'user' must be set.",
            ),
            "no title": ("      title: Password check\n", "", "title: This field is required."),
            "no user fields": (
                "user_fields: [username, email]",
                "user_fields: []",
                "user_fields: When no user fields are selected, at least one source must be "
                "selected",
            ),
            "a duration in words": (
                "minutes=2",
                "2 minutes",
                "session_duration: 2 minutes is not in the correct format of 'hours=3;minutes=1'.",
            ),
            "an unknown model": (
                "authentik_core.group\n",
                "authentik_core.team\n",
                "Invalid model authentik_core.team",
            ),
            "an unknown tag": ("!Env ROPG", "!Environ ROPG", "HTTP 405"),
            "bad YAML": ("version: 1", "version: [1", "HTTP 405"),
        }
    )
    def test_a_change_by_hand(self, old: str, new: str, refusal: str) -> None:
        """The text is that of Authentik, and nothing has changed then."""
        text = usual()
        self.assertIn(old, text)
        authentik = fresh_authentik()
        before = objects(authentik)
        with self.assertRaises(BlueprintError) as caught:
            authentik.apply(text.replace(old, new), SECRETS)
        self.assertEqual(str(caught.exception), refusal)
        self.assertEqual(objects(authentik), before)


class VendorModelTests(SynchronousTestCase):
    """The entries against the vendor's own models of requests (``authentik-client``)."""

    skip = FIRST_PYTHON_ONLY

    MODELS: ClassVar = {
        models.FLOW: "FlowRequest",
        models.BINDING: "FlowStageBindingRequest",
        models.IDENTIFICATION: "IdentificationStageRequest",
        models.PASSWORD: "PasswordStageRequest",
        models.MFA: "AuthenticatorValidateStageRequest",
        models.LOGIN: "UserLoginStageRequest",
        models.OAUTH2: "OAuth2ProviderRequest",
        models.APPLICATION: "ApplicationRequest",
        models.GROUP: "GroupRequest",
        models.POLICY_BINDING: "PolicyBindingRequest",
        models.PROXY: "ProxyProviderRequest",
        models.OUTPOST: "OutpostRequest",
        models.TOKEN: "TokenRequest",
    }

    def model(self, name: str) -> Any:
        """The vendor's model of a request that makes such an object."""
        return getattr(vendor, self.MODELS[name])

    def test_each_entry_is_a_request_that_the_vendor_knows(self) -> None:
        """Every name, type and choice; a blueprint alone may set the key of a token."""
        text = usual(confidential=True, upstream_tokens=True)
        authentik = applied(text)
        for entry in load(text)["entries"]:
            model = self.model(entry["model"])
            listed = {*entry["identifiers"], *entry.get("attrs", {})}
            known = set(model.model_fields) | ({"key"} if entry["model"] == models.TOKEN else set())
            self.assertEqual(listed - known, set(), entry["model"])
        for kind in self.MODELS:
            model = self.model(kind)
            for made in authentik.all(kind):
                names = [name for name in model.model_fields if made.get(name) is not None]
                model.from_dict({name: made[name] for name in names})
