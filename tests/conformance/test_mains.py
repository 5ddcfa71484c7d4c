"""CPython's tests of scripts, packages, directories and archives whose main module the workers must find."""

import pytest

from tests.conformance import pool_suites

if not pool_suites.HAVE_MAINS:
    pytest.skip("this Python comes without test.test_multiprocessing_main_handling", allow_module_level=True)

for _classes in pool_suites.MAINS.values():
    globals().update(_classes)
