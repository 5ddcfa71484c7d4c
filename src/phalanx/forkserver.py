"""The module `multiprocessing.forkserver`, under this name too."""

import sys
from multiprocessing import forkserver
from multiprocessing.forkserver import *  # noqa: F403

sys.modules[__name__] = forkserver
