"""Checks of what the daemon keeps. They write nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.storage import check_audit_log, check_state, check_store
from ropg_twisted.oauth.keys import new_key
from ropg_twisted.oauth.keystore import KEYS_FILE, write_keys
from ropg_twisted.telemetry.user_hash import KEY_FILE, UserHash
from tests.diagnostics.examining import ExaminationTestCase, states
from tests.guard.redis import RedisTestCase
from tests.ports import free_port

SECRET = "canary-secret-0123456789-0123456789"


class StateTests(ExaminationTestCase):
    """The state directory and its keys."""

    def made(self, **environ: str) -> Any:
        """An installation with a state directory."""
        installation = self.installation(ROPG_SIGNING_ALG="ES256", **environ)
        installation.settings.state_dir.mkdir(mode=0o700)
        return installation

    def keys(self, installation: Any, algorithm: str = "ES256") -> Path:
        """The path of its key file, which has a key."""
        path: Path = installation.settings.state_dir / KEYS_FILE
        write_keys(path, [new_key(algorithm, 1_000_000_000, signs_from=0)], replace=False)
        return path

    async def test_nothing_yet(self) -> None:
        """The first start creates everything, so nothing is created now."""
        installation = self.installation()
        await self.expect(check_state, installation, "state-directory", State.OK, "first start")
        self.assertFalse(installation.settings.state_dir.exists())
        installation = self.made()
        await self.expect(check_state, installation, "keys", State.OK, "created at the start")
        self.assertEqual(os.listdir(installation.settings.state_dir), [])

    async def test_keys(self) -> None:
        """A key that can sign is found; another algorithm gets one at the start."""
        installation = self.made()
        self.keys(installation)
        await self.expect(check_state, installation, "keys", State.OK, "has a key for ES256")
        installation = self.made()
        self.keys(installation, "EdDSA")
        await self.expect(check_state, installation, "keys", State.OK, "next start adds one")

    async def test_modes(self) -> None:
        """Others may neither read the keys nor write the folder."""
        installation = self.made()
        path = self.keys(installation)
        path.chmod(0o640)
        await self.expect(check_state, installation, "keys", State.FAILURE, "chmod 0600")
        path.chmod(0o600)
        path.parent.chmod(0o770)
        await self.expect(check_state, installation, "state-directory", State.FAILURE, "chmod 0700")

    async def test_unusable_keys(self) -> None:
        """Their content is not shown."""
        installation = self.made()
        path = self.keys(installation)
        path.write_text("canary")
        finding = await self.expect(check_state, installation, "keys", State.FAILURE, "backup")
        self.assertNotIn("canary", finding.message)
        path.unlink()
        path.mkdir()
        await self.expect(check_state, installation, "keys", State.FAILURE, str(path))

    async def test_no_directory(self) -> None:
        """A file in its place, or a folder that cannot be written, is a failure."""
        installation = self.installation()
        installation.settings.state_dir.write_text("")
        await self.expect(
            check_state, installation, "state-directory", State.FAILURE, "is not a folder"
        )
        installation = self.made()
        self.patch(os, "access", lambda path, mode: False)
        await self.expect(
            check_state, installation, "state-directory", State.FAILURE, "change its owner"
        )

    async def test_a_shared_secret(self) -> None:
        """Then there are no keys, but there may be the key of the hashes of user names."""
        installation = self.installation(JWT_SECRET=SECRET)
        await self.expect(check_state, installation, "state-directory", State.OK, "JWT_SECRET")
        installation = self.installation(JWT_SECRET=SECRET, ROPG_LOG_USERS="hashed")
        UserHash.open(installation.settings.state_dir)
        found = states(await self.findings(check_state, installation))
        self.assertEqual(found, {"state-directory": State.OK, "user-hash-key": State.OK})
        (installation.settings.state_dir / KEY_FILE).write_text("canary")
        await self.expect(check_state, installation, "user-hash-key", State.FAILURE, "no usable")

    async def test_the_sandbox(self) -> None:
        """It has keys of its own."""
        installation = self.installation(AUTHENTIK_URL="sandbox:")
        await self.expect(
            check_state, installation, "state-directory", State.OK, "/state/sandbox will be"
        )


class AuditLogTests(ExaminationTestCase):
    """The file of the audit log."""

    async def test_file(self) -> None:
        """It can be written or created, or not."""
        self.assertEqual(await self.findings(check_audit_log, self.installation()), [])
        folder = Path(self.mktemp()).absolute()
        installation = self.installation(ROPG_AUDIT_LOG=str(folder / "audit.json"))
        await self.expect(
            check_audit_log, installation, "audit-log", State.FAILURE, "create its folder"
        )
        folder.mkdir()
        await self.expect(check_audit_log, installation, "audit-log", State.OK)
        self.assertEqual(os.listdir(folder), [])


class StoreTests(ExaminationTestCase):
    """A Redis that does not answer."""

    async def test_none(self) -> None:
        """Without a shared store there is nothing to say."""
        self.assertEqual(await self.findings(check_store, self.installation()), [])

    async def test_nothing_listens(self) -> None:
        """The password in its URL is not shown."""
        url = f"redis://:canary@127.0.0.1:{free_port()}/0"
        installation = self.installation(ROPG_LIMITS_STORE=url)
        finding = await self.expect(
            check_store, installation, "limits-store", State.FAILURE, "does not answer"
        )
        self.assertNotIn("canary", str(finding))


class RedisTests(RedisTestCase, ExaminationTestCase):
    """A Redis that answers."""

    async def test_answers(self) -> None:
        """It is a plain ok."""
        installation = self.installation(ROPG_LIMITS_STORE=self.url)
        self.addCleanup(installation.settings.limits_store.storage.storage.close)
        await self.expect(check_store, installation, "limits-store", State.OK, "answers")
