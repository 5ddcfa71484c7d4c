"""CPython's tests of pools, start method fork."""

import pytest

from tests.conformance import pool_suites

if not pool_suites.HAVE_POOLS:
    pytest.skip("this Python comes without test._test_multiprocessing", allow_module_level=True)

START_METHOD = "fork"
globals().update(pool_suites.CLASSES[START_METHOD])
