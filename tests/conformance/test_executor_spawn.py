"""CPython's tests of executors, start method spawn."""

import pytest

from tests.conformance import executor_suites

# The other interpreters have those of forkserver, which also starts workers from nothing.
pytestmark = pytest.mark.slow

if not executor_suites.HAVE_EXECUTORS:
    pytest.skip("this Python comes without test.test_concurrent_futures", allow_module_level=True)

START_METHOD = "spawn"
globals().update(executor_suites.CLASSES[START_METHOD])
