"""CPython's tests of `Future`, for ours."""

import pytest

from tests.conformance import executor_suites

if not executor_suites.HAVE_EXECUTORS:
    pytest.skip("this Python comes without test.test_concurrent_futures", allow_module_level=True)

globals().update(executor_suites.CLASSES["future"])
