"""The module `multiprocessing.resource_sharer`, under this name too."""

import sys
from multiprocessing import resource_sharer
from multiprocessing.resource_sharer import *  # noqa: F403

sys.modules[__name__] = resource_sharer
