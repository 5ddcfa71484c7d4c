"""The main program in workers that do not have it by being forked.

The standard library runs the program's file once more in each process that it starts, so that it has what the file
defines, and refuses to start processes there: a program has to keep that apart, by `if __name__ == "__main__":`.
We run the file ourselves, and take the first call that would start a worker for the place where that line is missing:
the file is left there, with all that it has defined so far. What is defined below is asked for when it is needed.

A program that has no file (`python -c`, standard input, a prompt, a notebook) cannot be run again: there `__main__`
is empty, and all of it is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from io import open_code
from multiprocessing import process, spawn
from pkgutil import get_importer, read_code
from threading import get_ident
from types import CodeType, FrameType, ModuleType
from typing import Any

_KEYS = ("init_main_from_name", "init_main_from_path")


class MainReached(BaseException):
    """The main program, on being run again, has come to where it starts workers."""


_running = [False]
_ours: dict[int, dict[str, Any]] = {}
"""By thread: what the processes that it starts are told in place of what the standard library would say."""
_prepare = spawn.get_preparation_data


def check_not_in_main() -> None:
    """To be called before workers or processes are started.

    Raises `MainReached` where that is the end of what a worker runs of the main program, and RuntimeError where
    somebody else runs it and nobody is prepared for that.
    """
    if _running[0]:
        raise MainReached
    module = _imported_for_a_task()
    if module is not None:
        raise RuntimeError(
            f"the module {module} starts workers while it is imported, which every worker that needs it does as "
            'well: have it start them in a function, or in the main program below  if __name__ == "__main__":'
        )
    if getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "the main program starts workers while it is run again in a process of multiprocessing, which has not "
            'begun its own work: have it start them below  if __name__ == "__main__":'
        )


def _imported_for_a_task() -> str | None:
    """The module whose body has called us, if a worker imports it because something that it was sent needs it."""
    frame: FrameType | None = sys._getframe(2)
    module = None
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>":
            module = name
        elif module is not None and not name.startswith("importlib."):
            return module if name.startswith(("phalanx._w", "phalanx._memory.")) else None
        frame = frame.f_back
    return None


def of_this_program() -> dict[str, str]:
    """What a new process needs to run the main program again; empty if it cannot be run again."""
    found: dict[str, Any] = _prepare("")
    main: dict[str, str] = {key: found[key] for key in _KEYS if key in found}
    name, path = main.get(_KEYS[0], ""), main.get(_KEYS[1], "")
    # As in the standard library: what starts a whole package, and IPython, has nothing that others could use.
    if name.rpartition(".")[2] == "__main__":
        return {}
    is_lost = path and not _is_there(path)
    return {} if is_lost or os.path.basename(path) in ("ipython", "ipython.py") else main  # noqa: PTH119


def _is_there(path: str) -> bool:
    # Not by pathlib, which every worker would load that is a new interpreter. What we are not allowed to look at, it
    # would not be either.
    return os.path.exists(path)  # noqa: PTH110


class Beginnings:
    """Directory, path and environment at this moment: all workers of a session begin with those of its beginning."""

    def __init__(self) -> None:
        now: dict[str, Any] = _prepare("")
        self._places = {key: now[key] for key in ("dir", "sys_path")}
        self.environment = dict(os.environ)

    def places(self) -> dict[str, Any]:
        """Directory and path, as the standard library tells of them. Not of a directory that is gone."""
        return self._places if _is_there(self._places["dir"]) else {}


@contextmanager
def left_to_us(places: dict[str, Any] | None = None) -> Iterator[None]:
    """Processes that this thread starts meanwhile are not told of the main program: `of_this_program` is sent.

    `places`: what they are told of directory and path, if it is not what is now.
    """
    if spawn.get_preparation_data is not _prepare_ours:
        spawn.get_preparation_data = _prepare_ours
    _ours[get_ident()] = places or {}
    try:
        yield
    finally:
        _ours.pop(get_ident(), None)


def _prepare_ours(name: str) -> dict[str, Any]:
    data: dict[str, Any] = _prepare(name)
    places = _ours.get(get_ident())
    if places is not None:
        for key in _KEYS:
            data.pop(key, None)
        data.update(places)
    return data


def run_again(main: dict[str, str]) -> None:
    """In a new process: have a `__main__` like that of the parent, as far as it got."""
    name, path = main.get(_KEYS[0]), main.get(_KEYS[1])
    module = ModuleType("__mp_main__" if main else "__main__")
    code = None
    if name is not None:
        code = _code_of_module(name, module)
    elif path is not None:
        if getattr(sys.modules["__main__"], "__file__", None) == path:
            return  # of a fork server that has it already
        code = _code_of_file(path, module)
    # Its functions shall have the module's own names for their globals, where an initializer finds and leaves them:
    # the standard library gives the module a copy.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    if code is None:
        return
    _running[0] = True
    try:
        exec(code, vars(module))
    except MainReached:
        pass
    finally:
        _running[0] = False


def _code_of_file(path: str, module: ModuleType) -> CodeType:
    module.__file__ = path
    importer: Any = get_importer(path)
    if importer is not None:
        # A directory or an archive with a `__main__.py` in it, which is the first place to import from.
        sys.path.insert(0, path)
        return _code_of_module("__main__", module, importer.find_spec("__main__"))
    with open_code(path) as file:
        compiled: CodeType | None = read_code(file)  # as `runpy` does, for files that are compiled already
    if compiled is not None:
        return compiled
    with open_code(path) as file:
        return compile(file.read(), path, "exec")


def _code_of_module(name: str, module: ModuleType, spec: ModuleSpec | None = None) -> CodeType:
    spec = spec or find_spec(name)
    if spec is None:
        raise ImportError(f"the main program is the module {name}, which cannot be found here", name=name)
    loader: Any = spec.loader
    code: CodeType = loader.get_code(spec.name)
    module.__spec__, module.__loader__, module.__package__ = spec, loader, spec.parent
    module.__file__ = spec.origin
    return code
