"""CPython's tests of pools, start method spawn."""

import pytest

from tests.conformance import pool_suites

# The other interpreters have those of forkserver, which also starts workers from nothing.
pytestmark = pytest.mark.slow

if not pool_suites.HAVE_POOLS:
    pytest.skip("this Python comes without test._test_multiprocessing", allow_module_level=True)

START_METHOD = "spawn"
globals().update(pool_suites.CLASSES[START_METHOD])
