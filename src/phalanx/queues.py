"""The module `multiprocessing.queues`, under this name too."""

import sys
from multiprocessing import queues
from multiprocessing.queues import *  # noqa: F403

sys.modules[__name__] = queues
