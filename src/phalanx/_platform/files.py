"""Files without a name: shared memory that cannot be left behind."""

from __future__ import annotations

import errno
import os

# What a sandbox answers with that does not let programs make such files.
_FORBIDDEN = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS))


def anonymous_file(name: str, size: int = 0) -> int:
    """A descriptor of shared memory that has no name, so that nothing can be left behind."""
    try:
        descriptor = os.memfd_create(name)
    except AttributeError:  # a system without
        descriptor = _unnamed_file()
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        descriptor = _unnamed_file()
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _unnamed_file() -> int:
    """A file that has lost its name; in memory where the folder for temporary files is."""
    import tempfile  # slow to load, and needed nowhere else

    descriptor, path = tempfile.mkstemp(prefix="phalanx-")
    os.remove(path)  # noqa: PTH107
    return descriptor
