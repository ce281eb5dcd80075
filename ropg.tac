"""The daemon from the environment alone: twistd -y ropg.tac"""

import os

from ropg_twisted.tap import make_application

application = make_application(os.environ)
