"""Keys over time: no rotation makes a valid token invalid."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth.keys import (
    JWK,
    PUBLISH_AHEAD,
    KeyRing,
    new_key,
    read_key,
    retire,
    ring_at,
    rotate,
)
from ropg_twisted.oauth.keystore import KEYS_FILE, KeyStore, read_keys, write_keys
from ropg_twisted.settings.model import MAX_TOKEN_LIFETIME
from tests.fakes import CapturedLog

NOW = 1_800_000_000.0


def ring(jwks: list[JWK], now: float) -> KeyRing:
    """The ring of stored keys at a time."""
    return ring_at(now, [read_key(jwk) for jwk in jwks], "EdDSA")


@cache
def stored_key(algorithm: str) -> JWK:
    """A key as it is stored; the same for all tests, as one of RSA takes long to make."""
    return new_key(algorithm, NOW, signs_from=int(NOW))


class RotationTests(SynchronousTestCase):
    """The pure rules."""

    def setUp(self) -> None:
        """A key that signs."""
        self.jwks = [new_key("EdDSA", NOW, signs_from=int(NOW))]

    def test_a_new_key_is_published_before_it_signs(self) -> None:
        """For ten minutes after a rotation the old key signs, and both are published."""
        after = rotate(self.jwks, "EdDSA", NOW)
        old, new = after[0]["kid"], after[1]["kid"]
        turn = NOW + PUBLISH_AHEAD
        for now, signing in ((NOW, old), (turn - 1, old), (turn, new), (turn + 9e9, new)):
            self.assertEqual(ring(after, now).signing.kid, signing, now)
        self.assertEqual(len(ring(after, NOW).published), 2)

    def test_an_old_key_stays_published_for_as_long_as_its_tokens_live(self) -> None:
        """The longest token of its last moment expires before it goes."""
        after = rotate(self.jwks, "EdDSA", NOW)
        last = NOW + PUBLISH_AHEAD + MAX_TOKEN_LIFETIME
        self.assertEqual(len(ring(after, last - 1).published), 2)
        self.assertEqual(len(ring(after, last).published), 1)

    def test_a_key_that_was_added_needs_to_wait_no_longer(self) -> None:
        """A key that has been published for long enough signs at once."""
        added = [*self.jwks, new_key("EdDSA", NOW, signs_from=None)]
        self.assertEqual(ring(added, NOW + 9e6).signing.kid, self.jwks[0]["kid"])
        after = rotate(added, "EdDSA", NOW + PUBLISH_AHEAD)
        self.assertEqual(len(after), 2)
        self.assertEqual(ring(after, NOW + PUBLISH_AHEAD).signing.kid, added[1]["kid"])

    def test_one_that_does_not_say_since_when_it_is_published_waits_from_now(self) -> None:
        """It may have been brought from elsewhere."""
        brought = new_key("EdDSA", NOW, signs_from=None)
        del brought["iat"]
        after = rotate([*self.jwks, brought], "EdDSA", NOW)
        self.assertEqual(ring(after, NOW + PUBLISH_AHEAD - 1).signing.kid, self.jwks[0]["kid"])
        self.assertEqual(ring(after, NOW + PUBLISH_AHEAD).signing.kid, brought["kid"])

    def test_a_retired_key_signs_no_more(self) -> None:
        """Another takes over at once; the last one cannot be retired."""
        after = rotate(self.jwks, "EdDSA", NOW)
        self.assertRaises(ValueError, retire, after, after[0]["kid"], NOW)
        turn = NOW + PUBLISH_AHEAD
        twice = rotate(after, "EdDSA", turn)
        gone = retire(twice, twice[2]["kid"], turn)
        self.assertEqual(ring(gone, turn + 9).signing.kid, twice[1]["kid"])
        self.assertRaises(LookupError, retire, after, "nobody", NOW)

    @given(st.lists(st.tuples(st.integers(0, 100_000), st.booleans()), max_size=8))
    def test_no_token_is_ever_without_its_key(self, steps: list[tuple[int, bool]]) -> None:
        """Each token verifies until it expires, under any rotations and additions."""
        jwks, now = self.jwks, NOW
        tokens: list[tuple[str | None, float]] = []
        for seconds, turns in steps:
            now += seconds
            # The daemon takes a change up at once: what was to be signed later never was.
            tokens = [(kid, moment) for kid, moment in tokens if moment <= now]
            jwks = (
                rotate(jwks, "EdDSA", now)
                if turns
                else [*jwks, new_key("EdDSA", now, signs_from=None)]
            )
            for moment in (now, now + PUBLISH_AHEAD - 1, now + PUBLISH_AHEAD):
                tokens.append((ring(jwks, moment).signing.kid, moment))
        for kid, moment in tokens:
            if moment <= now:
                published = {key.kid for key in ring(jwks, max(now, moment)).published}
                expired = now >= moment + MAX_TOKEN_LIFETIME
                self.assertTrue(expired or kid in published)


class LiveKeysTests(SynchronousTestCase):
    """A daemon that runs while its keys are changed."""

    def setUp(self) -> None:
        """A daemon's keys on a clock."""
        self.now = NOW
        self.folder = Path(self.mktemp())
        self.store = KeyStore(self.folder, "EdDSA", lambda: self.now)
        self.original = self.folder / "original"
        self.original.write_bytes((self.folder / KEYS_FILE).read_bytes())
        self.ticks = 0

    def change(self, change: Callable[..., list[JWK]], *arguments: Any) -> None:
        """The command ``ropg keys``."""
        path = self.folder / KEYS_FILE
        write_keys(path, change(read_keys(path), *arguments))

    def token(self) -> str:
        """A token that is signed now."""
        key = self.store.ring().signing
        return jwt.encode({"sub": "x"}, key.private, key.algorithm, headers={"kid": key.kid})

    def verifies(self, token: str) -> bool:
        """Return whether the published keys verify it now."""
        published = jwt.PyJWKSet.from_dict(self.store.ring().jwks())
        kid = jwt.get_unverified_header(token)["kid"]
        keys = [key for key in published.keys if key.key_id == kid]
        return bool(keys) and jwt.decode(token, keys[0], ["EdDSA"]) == {"sub": "x"}

    def test_a_rotation_goes_unnoticed(self) -> None:
        """Tokens from before, within and after it verify, and the daemon is not restarted."""
        before = self.token()
        self.change(rotate, "EdDSA", self.now)
        within = self.token()
        self.assertEqual(
            jwt.get_unverified_header(before)["kid"], jwt.get_unverified_header(within)["kid"]
        )
        self.now += PUBLISH_AHEAD
        after = self.token()
        self.assertNotEqual(
            jwt.get_unverified_header(before)["kid"], jwt.get_unverified_header(after)["kid"]
        )
        self.assertTrue(all(map(self.verifies, (before, within, after))))
        self.now += MAX_TOKEN_LIFETIME
        self.assertEqual([self.verifies(t) for t in (within, after)], [False, True])

    def test_a_bad_file_leaves_the_old_keys_in_use(self) -> None:
        """It is said once, and the next good one is taken up."""
        log = CapturedLog(self).events
        before = self.token()
        path = self.folder / KEYS_FILE
        good = path.read_bytes()
        for text in (b"{", b"[]", b'{"keys": []}'):
            log.clear()
            path.write_bytes(text)
            self.assertTrue(self.verifies(before))
            self.assertTrue(self.verifies(self.token()))
            self.assertEqual([e["log_level"].name for e in log if "kind" in e], ["error"], text)
        path.unlink()
        self.assertTrue(self.verifies(self.token()))
        path.write_bytes(good)
        self.change(rotate, "EdDSA", self.now)
        self.assertEqual(len(self.store.ring().published), 2)

    def test_what_is_no_file_is_not_waited_for(self) -> None:
        """A pipe without or with a writer, a folder, or a link to itself in place of the file."""
        log = CapturedLog(self).events
        before = self.token()
        path = self.folder / KEYS_FILE

        def written_pipe(path: Path) -> None:
            os.mkfifo(path)
            self.addCleanup(os.close, os.open(path, os.O_RDWR | os.O_NONBLOCK))

        for make in (os.mkfifo, written_pipe, Path.mkdir, lambda path: path.symlink_to(path)):
            log.clear()
            path.unlink()
            make(path)
            self.assertTrue(self.verifies(before))
            self.assertTrue(self.verifies(self.token()))
            self.assertEqual(sum("old keys stay" in e["log_format"] for e in log), 1)
            if path.is_dir():
                path.rmdir()
                path.touch()

    def put(self, content: bytes) -> None:
        """Write the file by hand, at a time of its own: two changes may share a tick."""
        path = self.folder / KEYS_FILE
        path.write_bytes(content)
        self.ticks += 1
        os.utime(path, ns=(self.ticks, self.ticks))

    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
        max_leaves=5,
    )
    MEMBERS = st.sampled_from(
        ["kty", "crv", "x", "y", "d", "alg", "use", "kid", "iat", "nbf", "exp", "n", "e", "p", "k"]
    )

    @given(
        st.sampled_from(["EdDSA", "ES256", "RS256"]),
        st.dictionaries(MEMBERS, JSON | st.sampled_from(["RSA", "EC", "OKP", "oct", "none"])),
        st.sets(MEMBERS),
    )
    def test_no_key_is_worse_than_none(
        self, algorithm: str, changed: dict[str, Any], missing: set[str]
    ) -> None:
        """Tokens go on being signed, and verify, with any content of the file."""
        good = stored_key(algorithm)
        jwk = {**{k: v for k, v in good.items() if k not in missing}, **changed}
        for keys in ([jwk], [*read_keys(self.original), jwk], jwk):
            self.put(json.dumps({"keys": keys}).encode())
            self.assertTrue(self.verifies(self.token()))
            json.dumps(self.store.ring().jwks(), allow_nan=False)

    @given(st.binary() | JSON.map(json.dumps).map(str.encode))
    def test_no_content_is_worse_than_none(self, content: bytes) -> None:
        """Nor does it matter whether it is any key at all, or JSON."""
        self.put(content)
        self.assertTrue(self.verifies(self.token()))

    def test_a_file_that_others_can_read_is_warned_of(self) -> None:
        """At the start, and when it becomes one."""
        path = self.folder / KEYS_FILE
        for mode, warns in ((0o600, 0), (0o640, 1), (0o400, 0), (0o604, 1), (0o620, 0)):
            log = CapturedLog(self).events
            path.chmod(mode)
            self.token()
            self.token()
            KeyStore(self.folder, "EdDSA", lambda: self.now)
            said = [event["mode"] for event in log if event["log_level"].name == "warn"]
            self.assertEqual(said, [f"{mode:04o}"] * 2 * warns)

    def test_the_last_key_goes_on_when_its_time_is_over(self) -> None:
        """A file without a follower, or a clock that is set back, stops nobody; it is said once."""
        log = CapturedLog(self).events
        path = self.folder / KEYS_FILE
        before = self.token()
        for now in (NOW - 1, NOW + 9e6):
            self.now = now
            self.assertTrue(self.verifies(self.token()))
        self.assertEqual(len(log), 1)
        self.change(lambda jwks: [{**jwks[0], "exp": int(self.now) + 2 * MAX_TOKEN_LIFETIME}])
        self.token()
        log.clear()
        self.now += 3 * MAX_TOKEN_LIFETIME
        self.assertTrue(self.verifies(before))
        self.assertTrue(self.verifies(self.token()))
        self.assertEqual([event["log_level"].name for event in log], ["error"])
        path.unlink()
        self.assertTrue(self.verifies(self.token()))
