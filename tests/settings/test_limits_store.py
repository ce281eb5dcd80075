"""``ROPG_LIMITS_STORE`` where the package that it needs is missing."""

from __future__ import annotations

from limits.errors import ConfigurationError
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings import values
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.sources import read_settings


class MissingPackageTests(SynchronousTestCase):
    """An installation without the extra ``redis``."""

    def test_the_command_that_installs_it_is_named(self) -> None:
        """The daemon does not start, and does not count alone without a word."""

        def no_redis(*arguments: object, **options: object) -> None:
            raise ConfigurationError("redis prerequisite not available")

        self.patch(values, "RedisStorage", no_redis)
        environ = {
            "AUTHENTIK_URL": "https://authentik.example.com",
            "PROXY_ISSUER": "https://ropg.example.com",
            "ROPG_LIMITS_STORE": "redis://redis.example.com/0",
        }
        with self.assertRaises(SettingError) as caught:
            read_settings({}, environ)
        self.assertIn("pip install 'ropg-twisted[redis]'", str(caught.exception))
