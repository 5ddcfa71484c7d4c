"""The module `multiprocessing.heap`, under this name too."""

import sys
from multiprocessing import heap
from multiprocessing.heap import *  # noqa: F403

sys.modules[__name__] = heap
