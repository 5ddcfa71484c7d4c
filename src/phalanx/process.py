"""The module `multiprocessing.process`, under this name too."""

import sys
from multiprocessing import process
from multiprocessing.process import *  # noqa: F403

sys.modules[__name__] = process
