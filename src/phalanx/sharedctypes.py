"""The module `multiprocessing.sharedctypes`, under this name too."""

import sys
from multiprocessing import sharedctypes
from multiprocessing.sharedctypes import *  # noqa: F403

sys.modules[__name__] = sharedctypes
