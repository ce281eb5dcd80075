"""``python -m tests.bench``."""

import sys

import uvloop

from tests.bench.run import main

uvloop.run(main(sys.argv[1:]))
