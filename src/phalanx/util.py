"""The module `multiprocessing.util`, under this name too."""

import sys
from multiprocessing import util
from multiprocessing.util import *  # noqa: F403

sys.modules[__name__] = util
