"""The module `multiprocessing.popen_fork`, under this name too."""

import sys
from multiprocessing import popen_fork
from multiprocessing.popen_fork import *  # noqa: F403

sys.modules[__name__] = popen_fork
