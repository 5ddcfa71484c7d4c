"""CPython's tests of pools, for the pool of threads."""

import pytest

from tests.conformance import pool_suites

if not pool_suites.HAVE_POOLS:
    pytest.skip("this Python comes without test._test_multiprocessing", allow_module_level=True)

globals().update(pool_suites.CLASSES["threads"])
