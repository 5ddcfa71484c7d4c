"""The module `multiprocessing.popen_forkserver`, under this name too."""

import sys
from multiprocessing import popen_forkserver
from multiprocessing.popen_forkserver import *  # noqa: F403

sys.modules[__name__] = popen_forkserver
