"""Challenge responses against the vendor's own models (``authentik-client``)."""

from __future__ import annotations

from typing import Any

import authentik_client
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.conversation import ChallengeResponse
from tests.authentik.conversations import ANONYMOUS, PASSED, SENT_TOGETHER, make_conversation


class VendorModelTests(SynchronousTestCase):
    """Authentik's own description of its API."""

    def test_every_answer_fits_the_models_of_the_vendor(self) -> None:
        """Authentik's own client library takes each answer for a valid request."""
        models: dict[str, Any] = {
            "ak-stage-identification": authentik_client.IdentificationChallengeResponseRequest,
            "ak-stage-password": authentik_client.PasswordChallengeResponseRequest,
            "ak-stage-user-login": authentik_client.UserLoginChallengeResponseRequest,
        }
        answers = []
        for path in (PASSED, SENT_TOGETHER):
            conversation = make_conversation()
            steps = [conversation.receive(item, ANONYMOUS) for item in path]
            answers += [step.body for step in steps if isinstance(step, ChallengeResponse)]
        self.assertEqual(len(answers), 4)
        for body in answers:
            parsed = models[str(body["component"])].from_dict(body)
            assert parsed is not None
            understood = {k: v for k, v in parsed.to_dict().items() if v is not None}
            self.assertEqual(understood, body)
