"""``python -m tests.soak``."""

import sys

from twisted.internet.task import react

from tests.soak.run import main

react(main, sys.argv[1:])
