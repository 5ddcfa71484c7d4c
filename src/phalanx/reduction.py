"""The module `multiprocessing.reduction`, under this name too."""

import sys
from multiprocessing import reduction
from multiprocessing.reduction import *  # noqa: F403

sys.modules[__name__] = reduction
