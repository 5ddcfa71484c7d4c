"""CPython's tests of executors, start method fork."""

import pytest

from tests.conformance import executor_suites

if not executor_suites.HAVE_EXECUTORS:
    pytest.skip("this Python comes without test.test_concurrent_futures", allow_module_level=True)

START_METHOD = "fork"
globals().update(executor_suites.CLASSES[START_METHOD])
