"""The module `multiprocessing.resource_tracker`, under this name too."""

import sys
from multiprocessing import resource_tracker
from multiprocessing.resource_tracker import *  # noqa: F403

sys.modules[__name__] = resource_tracker
