"""The files that a package must have for twistd to find everything."""

from __future__ import annotations

import re
from configparser import ConfigParser
from contextlib import redirect_stdout
from io import StringIO

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted import __version__
from ropg_twisted.settings.errors import ListenError, SettingError
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.tap import Options
from tests.paths import CHECKOUT


def setup_cfg() -> ConfigParser:
    """The metadata of the package."""
    config = ConfigParser()
    config.read(CHECKOUT / "setup.cfg", "utf-8")
    return config


class PackagingTests(SynchronousTestCase):
    """Cheap looks at what is shipped."""

    def test_systemd_does_not_try_a_wrong_setting_again(self) -> None:
        """It does try a port that is taken."""
        unit = ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read(CHECKOUT / "contrib" / "systemd" / "ropg.service", "utf-8")
        service = unit["Service"]
        self.assertEqual(service["Restart"], "on-failure")
        self.assertEqual(service["RestartPreventExitStatus"].split(), [str(SettingError.status)])
        self.assertNotEqual(SettingError.status, ListenError.status)

    def test_the_template_differs_from_the_unit_only_where_it_says_so(self) -> None:
        """Both units have the same user and the same hardening."""
        folder = CHECKOUT / "contrib" / "systemd"
        unit, template = (
            {line for line in (folder / name).read_text("utf-8").splitlines() if line[:1] != "#"}
            for name in ("ropg.service", "ropg@.service")
        )
        self.assertEqual(
            template - unit,
            {
                "Description=Password checks (OAuth2 password grant) against Authentik, daemon %i",
                "Sockets=ropg.socket",
                "EnvironmentFile=-/etc/ropg/ropg-%i.env",
            },
        )
        self.assertEqual(
            unit - template,
            {"Description=Password checks (OAuth2 password grant) against Authentik"},
        )
        # systemd otherwise makes the socket block at each start, for all that share it.
        self.assertIn("NonBlocking=yes", unit)

    def test_twisted_is_not_hidden(self) -> None:
        """Our folder of plugins is no package: one would take the place of Twisted itself."""
        self.assertEqual(list((CHECKOUT / "twisted").rglob("__init__.py")), [])

    def test_twistd_finds_the_plugin(self) -> None:
        """There is one ropg among what twistd can run, and all that it names is there."""
        [ropg] = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "ropg"]
        self.assertIs(ropg.options, Options)
        self.assertTrue(callable(ropg.makeService))

    def test_the_version_is_ours(self) -> None:
        """``twistd ropg`` tells the version of this package, and its help says nothing else."""
        out = StringIO()
        with redirect_stdout(out), self.assertRaises(SystemExit) as ended:
            Options().parseOptions(["--version"])
        self.assertEqual(
            (out.getvalue(), ended.exception.code), (f"ropg-twisted {__version__}\n", 0)
        )
        self.assertNotIn("Twisted version", Options().getUsage())

    def test_every_package_is_listed(self) -> None:
        """setup.cfg names each folder with code, and nothing else."""
        folders = {path.parent for path in (CHECKOUT / "ropg_twisted").rglob("*.py")}
        packages = {str(folder.relative_to(CHECKOUT)).replace("/", ".") for folder in folders}
        listed = setup_cfg()["options"]["packages"].split()
        self.assertEqual(sorted(listed), sorted({*packages, "twisted.plugins"}))

    def test_manual_pages_and_completion_are_installed(self) -> None:
        """setup.cfg names each file in ``share``, for the same place."""
        listed = {
            (place, name)
            for place, names in setup_cfg()["options.data_files"].items()
            for name in names.split()
        }
        files = [path for path in (CHECKOUT / "share").rglob("*") if path.is_file()]
        paths = [path.relative_to(CHECKOUT) for path in files]
        self.assertEqual(listed, {(str(path.parent), str(path)) for path in paths})

    def test_every_command_is_there(self) -> None:
        """The targets of the console scripts can be imported."""
        for line in setup_cfg()["options.entry_points"]["console_scripts"].strip().splitlines():
            name = re.sub(r".*= *", "", line).replace(":", ".")
            self.assertTrue(callable(namedAny(name)), line)

    def test_the_help_names_every_option(self) -> None:
        """``twistd ropg --help`` has each option of the settings, and its environment variable."""
        text = " ".join(str(Options()).split())
        for setting in (CONFIG, *TABLE.values()):
            if setting.option:
                self.assertIn(f"--{setting.option}= ", text)
                self.assertIn(f"[{setting.name}]", text)
