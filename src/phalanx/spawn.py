"""The module `multiprocessing.spawn`, under this name too."""

import sys
from multiprocessing import spawn
from multiprocessing.spawn import *  # noqa: F403

sys.modules[__name__] = spawn
