"""The module `multiprocessing.context`, under this name too."""

import sys
from multiprocessing import context
from multiprocessing.context import *  # noqa: F403

sys.modules[__name__] = context
