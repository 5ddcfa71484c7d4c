"""The module `multiprocessing.connection`, under this name too."""

import sys
from multiprocessing import connection
from multiprocessing.connection import *  # noqa: F403

sys.modules[__name__] = connection
