"""Runs the daemon with settings from the environment: twistd -y ropg.tac"""

import os

from ropg_twisted.process import make_application

application = make_application(os.environ)
