"""The module `multiprocessing.synchronize`, under this name too."""

import sys
from multiprocessing import synchronize
from multiprocessing.synchronize import *  # noqa: F403

sys.modules[__name__] = synchronize
