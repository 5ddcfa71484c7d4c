"""A wrong option raises where it is given, and says what to write instead."""

import dataclasses
from typing import Any

import pytest

from phalanx._base import checks, options
from phalanx._base.options import Options, Scope, check_options


class Six:
    """An integer that is not an int, as NumPy's are."""

    def __index__(self) -> int:
        return 6


def test_nothing_given_is_the_defaults() -> None:
    assert check_options({}) == Options()


def test_none_is_as_if_not_given() -> None:
    assert check_options(dict.fromkeys([*options.SCOPES, "workers"])) == Options()


def test_every_option_arrives() -> None:
    given = {
        "workers": 3,
        "backend": "processes",
        "start_method": "spawn",
        "max_tasks_per_child": 5,
        "initializer": print,
        "initargs": ("a", 1),
        "name": "alpha",
        "chunksize": 10,
        "window": 100,
        "progress": "reading",
        "timeout": 2.5,
        "retries": 3,
        "retry_on": (OSError, ValueError),
        "backoff": 0.5,
        "crash_retries": 1,
        "on_error": "collect",
        "max_memory": 1_000_000,
        "memory_limit": 3_000_000,
        "seed": (1, 2),
        "worker_env": {"A": "1"},
        "blas_threads": 2,
        "capture": "forward",
    }
    assert set(given) == {*options.SCOPES, "workers"}
    expected = {("size" if name == "workers" else name): value for name, value in given.items()}
    assert dataclasses.asdict(check_options(given)) == expected


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().size = 3  # type: ignore[misc]


def test_every_option_has_a_scope_a_check_and_a_field() -> None:
    fields = {field.name for field in dataclasses.fields(Options)}
    assert fields == {*options.SCOPES, "size"}
    assert set(checks.CHECKS) == set(options.SCOPES) - {"start_method"}


def test_given_options_lie_on_top_of_the_base() -> None:
    base = check_options({"workers": 2, "chunksize": 10})
    assert check_options({"window": 5}, base=base) == Options(size=2, chunksize=10, window=5)
    assert check_options({"chunksize": 20}, base=base).chunksize == 20


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("chunk_size", "chunksize"),
        ("maxtasksperchild", "max_tasks_per_child"),
        ("startmethod", "start_method"),
        ("mp_context", "start_method"),
        ("initialiser", "initializer"),
        ("init_args", "initargs"),
        ("worker", "workers"),
        ("max_workers", "workers"),
        ("processes", "workers"),
        ("n_jobs", "workers"),
        ("buffersize", "window"),
        ("progres", "progress"),
        ("tqdm", "progress"),
    ],
)
def test_unknown_option_names_the_right_spelling(wrong: str, right: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_options({wrong: 1}, caller="phalanx.map")
    assert str(caught.value) == f"phalanx.map() got an unknown option {wrong!r}; did you mean {right!r}?"


def test_unknown_option_names_the_size_as_the_caller_spells_it() -> None:
    with pytest.raises(TypeError, match="did you mean 'max_workers'"):
        check_options({"workers": 1}, size_name="max_workers")


def test_unknown_option_like_no_other_lists_them_all() -> None:
    with pytest.raises(TypeError, match=r"the options are backend, backoff, .* workers"):
        check_options({"zzz": 1})


@pytest.mark.parametrize("name", ["journal"])
def test_option_that_is_not_built_does_not_exist(name: str) -> None:
    with pytest.raises(TypeError, match=f"unknown option '{name}'"):
        check_options({name: 1})


@pytest.mark.parametrize("name", ["chunksize", "window", "progress"])
def test_calls_on_a_pool_take_options_of_calls(name: str) -> None:
    assert getattr(check_options({name: True if name == "progress" else 3}, scope=Scope.CALL), name)


@pytest.mark.parametrize("name", ["backend", "start_method", "initializer", "initargs", "name", "workers"])
def test_calls_on_a_pool_cannot_reshape_the_workers(name: str) -> None:
    with pytest.raises(TypeError, match=f"cannot change '{name}', which belongs to the workers"):
        check_options({name: 1}, scope=Scope.CALL)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"workers": 0}, ValueError, "workers must be greater than 0, not 0"),
        ({"workers": -2}, ValueError, "workers must be greater than 0, not -2"),
        ({"workers": 2.0}, TypeError, "workers must be an integer, not 2.0 (float)"),
        ({"workers": "2"}, TypeError, "workers must be an integer, not '2' (str)"),
        ({"workers": True}, TypeError, "workers must be an integer, not True (bool)"),
        ({"chunksize": 0}, ValueError, "chunksize must be >= 1, not 0"),
        ({"chunksize": 1.5}, TypeError, "chunksize must be an integer, not 1.5 (float)"),
        ({"window": 0}, ValueError, "window must be >= 1, not 0"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1, not 0"),
        ({"max_tasks_per_child": "x"}, TypeError, "max_tasks_per_child must be an integer"),
        ({"backend": "thread"}, ValueError, "not 'thread'; did you mean 'threads'?"),
        ({"backend": 3}, TypeError, "backend must be one of 'processes', 'threads', 'serial', not 3 (int)"),
        ({"start_method": "forkserve"}, ValueError, "did you mean 'forkserver'?"),
        ({"start_method": 1}, TypeError, "start_method must be one of 'fork', 'forkserver', 'spawn'"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
        ({"initargs": "abc"}, TypeError, "for a single one write initargs=(it,)"),
        ({"initargs": 3}, TypeError, "initargs must be a tuple of arguments, not 3 (int)"),
        ({"progress": 3}, TypeError, "progress must be True, a title or a callable that takes (done, total)"),
        ({"name": 3}, TypeError, "name must be text"),
        ({"chunksize": [0] * 1000}, TypeError, "not an object of type list"),
        ({"backend": "threads", "start_method": "fork"}, ValueError, "leave one of the two out"),
        ({"timeout": 0}, ValueError, "timeout must be a number of seconds > 0, not 0"),
        ({"timeout": float("nan")}, ValueError, "timeout must be a number of seconds > 0, not nan"),
        ({"timeout": "3"}, TypeError, "timeout must be a number of seconds, not '3' (str)"),
        ({"timeout": True}, TypeError, "timeout must be a number of seconds, not True (bool)"),
        ({"backend": "serial", "timeout": 3}, ValueError, "timeout needs workers that can be killed"),
        ({"retries": -1, "retry_on": OSError}, ValueError, "retries must be >= 0, not -1"),
        ({"retries": 3}, ValueError, "has no effect without retry_on: say which exceptions"),
        ({"retry_on": "OSError"}, TypeError, "retry_on must be an exception class or several in a tuple"),
        ({"retry_on": (OSError, int)}, TypeError, "retry_on must be an exception class"),
        ({"backoff": -1}, ValueError, "backoff must be a number of seconds >= 0, not -1"),
        ({"crash_retries": -1}, ValueError, "crash_retries must be >= 0, not -1"),
        ({"on_error": "ignore"}, ValueError, "on_error must be one of 'raise', 'collect', 'skip'"),
        ({"on_error": "skipp"}, ValueError, "did you mean 'skip'?"),
        (
            {"max_memory": "much"},
            ValueError,
            'a number of bytes or text like "2GB" or "512MiB", not \'much\'',
        ),
        ({"max_memory": 0}, ValueError, "max_memory must be at least one byte, not 0"),
        ({"max_memory": 1.5}, TypeError, "max_memory must be an integer"),
        (
            {"max_memory": "2GB", "memory_limit": "1GB"},
            ValueError,
            "memory_limit=1000000000 is below max_memory",
        ),
        ({"backend": "threads", "max_memory": 9}, ValueError, "max_memory needs workers that can be killed"),
    ],
)
def test_wrong_value_is_answered_in_words(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        check_options(given)
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_size_is_refused_in_the_words_of_the_standard_library() -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        check_options({"max_workers": 0}, size_name="max_workers")
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        check_options({"processes": 0}, size_name="processes")


def test_start_method_that_this_system_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="start_method must be one of 'spawn', not 'fork'"):
        check_options({"start_method": "fork"}, start_methods=["spawn"])


def test_options_are_checked_against_the_base_too() -> None:
    with pytest.raises(ValueError, match="leave one of the two out"):
        check_options({"start_method": "fork"}, base=Options(backend="serial"))


def test_integers_of_other_kinds_are_integers() -> None:
    checked = check_options({"workers": Six(), "chunksize": Six()})
    assert checked == Options(size=6, chunksize=6)
    assert type(checked.size) is int


def test_initargs_may_be_any_iterable_and_are_taken_once() -> None:
    assert check_options({"initargs": (n for n in (1, 2))}).initargs == (1, 2)


@pytest.mark.parametrize("value", [True, False, "title", print])
def test_progress_is_a_switch_a_title_or_a_callable(value: Any) -> None:
    assert check_options({"progress": value}).progress is value


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512m", 512 * 10**6),
        ("100", 100),
        ("64 KiB", 65536),
        (7, 7),
    ],
)
def test_memory_is_given_in_bytes_or_as_people_write_it(text: Any, size: int) -> None:
    assert check_options({"max_memory": text}).max_memory == size


def test_the_hard_limit_is_twice_the_soft_one_unless_it_is_given() -> None:
    assert check_options({}).hard_limit is None
    assert check_options({"max_memory": 100}).hard_limit == 200
    assert check_options({"max_memory": 100, "memory_limit": 150}).hard_limit == 150
    assert check_options({"memory_limit": 150}).hard_limit == 150


@pytest.mark.parametrize("kinds", [OSError, (OSError,), [OSError]])
def test_one_kind_of_exception_may_stand_for_itself(kinds: Any) -> None:
    assert check_options({"retries": 1, "retry_on": kinds}).retry_on == (OSError,)
