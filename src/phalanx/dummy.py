"""The module `multiprocessing.dummy`, under this name too."""

import sys
from multiprocessing import dummy
from multiprocessing.dummy import *  # noqa: F403

sys.modules[__name__] = dummy
