"""Frames and messages survive the way, whole or in pieces, whatever their size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phalanx._engine import arrivals
from phalanx._wire import frames
from phalanx._wire.frames import (
    BATCH,
    BLOCK,
    CALL,
    EACH,
    ERROR,
    HEADER_SIZE,
    LENT,
    RESULTS,
    SINGLE,
    SKIPPED,
    STAR,
    VALUE,
    WHOLE,
    WHOLE_LENT,
    BatchMessage,
    ResultsMessage,
    frame_size,
    pack_frame,
    split_frames,
)

KINDS = st.integers(1, 255)
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
BODIES = st.binary(max_size=300)
PIECES = st.lists(st.tuples(st.sampled_from([0, 1, 77, VALUE, ERROR, SKIPPED]), BODIES), max_size=20)


def split_all(data: bytes) -> list[tuple[int, bytes]]:
    found, used = split_frames(data)
    assert used == len(data)
    return [(kind, bytes(body)) for kind, body in found]


def only_body(data: bytes, kind: int) -> memoryview:
    [(found, body)], used = split_frames(data)
    assert (found, used) == (kind, len(data))
    return body


def as_bytes(body: Any) -> Any:
    return [(tag, bytes(data)) for tag, data in body] if isinstance(body, list) else bytes(body)


@given(st.lists(st.tuples(KINDS, BODIES), max_size=10))
def test_many_frames_come_apart_again(messages: list[tuple[int, bytes]]) -> None:
    stream = b"".join(pack_frame(kind, body) for kind, body in messages)
    assert split_all(stream) == messages


@given(st.lists(st.tuples(KINDS, BODIES), min_size=1, max_size=6), st.data())
def test_a_cut_loses_only_the_frame_that_it_cuts(messages: list[tuple[int, bytes]], data: Any) -> None:
    packed = [pack_frame(kind, body) for kind, body in messages]
    stream = b"".join(packed)
    cut = data.draw(st.integers(0, len(stream)))
    found, used = split_frames(stream[:cut])
    assert used == sum(map(len, packed[: len(found)]))
    assert [(kind, bytes(body)) for kind, body in found] == messages[: len(found)]
    # What is left and what comes later are the rest.
    assert split_all(stream[used:cut] + stream[cut:]) == messages[len(found) :]


@given(st.lists(BODIES, max_size=5), KINDS)
def test_a_body_may_come_in_parts(parts: list[bytes], kind: int) -> None:
    assert pack_frame(kind, *parts) == pack_frame(kind, b"".join(parts))


@given(BODIES, KINDS)
def test_size_is_known_from_the_header_alone(body: bytes, kind: int) -> None:
    packed = pack_frame(kind, body)
    for head in (packed[:HEADER_SIZE], packed, packed + b"more", bytearray(packed)):
        assert frame_size(head) == len(packed)
    for length in range(HEADER_SIZE):
        assert frame_size(packed[:length]) == 0


@pytest.mark.parametrize("size", [0, 2**32 - 1, 2**32, 2**56 - 1])
def test_lengths_of_up_to_seven_bytes(size: int) -> None:
    # The body does not have to exist: a header that promises much is waited for, not believed.
    head = (RESULTS << 56 | size).to_bytes(8, "little")
    assert frame_size(head) == HEADER_SIZE + size
    if size:
        assert split_frames(head + b"x") == ([], 0)


def test_bodies_are_views_not_copies() -> None:
    packed = pack_frame(RESULTS, bytes(10_000))
    for stream in (packed, packed + pack_frame(RESULTS)):
        body = split_frames(stream)[0][0][1]
        assert body.obj is stream


def fields_of(message: BatchMessage | ResultsMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__slots__}


@given(PIECES)
def test_pieces_come_back(pieces: list[tuple[int, bytes]]) -> None:
    body = memoryview(b"".join(frames.pack_pieces(pieces)))
    assert as_bytes(list(frames.unpack_pieces(body, len(pieces)))) == pieces


@given(U64, U64, U64, U64, st.sampled_from([SINGLE, STAR, CALL]), PIECES)
def test_batch_in_pieces(
    batch: int, seq: int, start: int, function: int, style: int, pieces: list[tuple[int, bytes]]
) -> None:
    function %= 2**32
    message = BatchMessage(batch, seq, start, len(pieces), function, style, EACH, pieces)
    back = frames.unpack_batch(only_body(frames.pack_batch(message), BATCH))
    back.body = as_bytes(back.body)
    assert fields_of(back) == fields_of(message)


@given(U64, U64, U64, U32, U32, BODIES)
def test_batch_as_a_whole(batch: int, seq: int, start: int, count: int, function: int, body: bytes) -> None:
    message = BatchMessage(batch, seq, start, count, function, SINGLE, WHOLE, body)
    back = frames.unpack_batch(only_body(frames.pack_batch(message), BATCH))
    back.body = as_bytes(back.body)
    assert fields_of(back) == fields_of(message)


@given(U64, U32, U64, st.booleans(), PIECES)
def test_results_in_pieces(
    batch: int, first: int, spent: int, ended: bool, pieces: list[tuple[int, bytes]]
) -> None:
    message = ResultsMessage(batch, first, len(pieces), spent, EACH, ended, pieces)
    back = frames.unpack_results(only_body(frames.pack_results(message), RESULTS))
    back.body = as_bytes(back.body)
    assert fields_of(back) == fields_of(message)


@given(U64, U32, U32, U64, st.booleans(), BODIES)
def test_results_as_a_whole(batch: int, first: int, count: int, spent: int, ended: bool, body: bytes) -> None:
    message = ResultsMessage(batch, first, count, spent, WHOLE, ended, body)
    back = frames.unpack_results(only_body(frames.pack_results(message), RESULTS))
    back.body = as_bytes(back.body)
    assert fields_of(back) == fields_of(message)


@given(U64, BODIES)
def test_functions_and_numbers(number: int, payload: bytes) -> None:
    got, data = frames.unpack_function(only_body(frames.pack_function(number, payload), frames.FUNCTION))
    assert (got, bytes(data)) == (number, payload)
    got, data = frames.unpack_function(only_body(frames.pack_forget(number), frames.FORGET))
    assert (got, bytes(data)) == (number, b"")
    assert frames.unpack_number(only_body(frames.pack_number(frames.READY, number), frames.READY)) == number


def test_tags_of_pieces_are_no_numbers_of_functions() -> None:
    # A piece of a batch of calls carries either.
    assert len({VALUE, ERROR, SKIPPED}) == 3
    assert min(VALUE, ERROR, SKIPPED) >= 2**63


# -- blocks


def test_every_tag_can_say_that_its_data_is_lent() -> None:
    tags = [frames.OWN_FUNCTION, 1, 2**62 - 1, VALUE, ERROR, SKIPPED, frames.RETRYABLE]
    assert len({*tags, *(tag | LENT for tag in tags)}) == 2 * len(tags)
    assert [(tag | LENT) & ~LENT for tag in tags] == tags
    pieces = [(tag | LENT, b"x") for tag in tags]
    body = memoryview(b"".join(frames.pack_pieces(pieces)))
    assert as_bytes(list(frames.unpack_pieces(body, len(pieces)))) == pieces


def test_forms_are_told_apart_from_each_other_and_from_those_of_the_engine() -> None:
    assert len({WHOLE, EACH, WHOLE_LENT, frames.INHERITED, arrivals.LOCAL, arrivals.VALUES}) == 6


@given(U64, BODIES)
def test_a_whole_body_that_is_lent_comes_back(batch: int, body: bytes) -> None:
    lent = BatchMessage(batch, 1, 2, 3, 4, SINGLE, WHOLE_LENT, body)
    back = frames.unpack_batch(only_body(frames.pack_batch(lent), BATCH))
    assert (back.form, bytes(back.body)) == (WHOLE_LENT, body)
    results = ResultsMessage(batch, 0, 3, 1, WHOLE_LENT, True, body)
    told = frames.unpack_results(only_body(frames.pack_results(results), RESULTS))
    assert (told.form, bytes(told.body)) == (WHOLE_LENT, body)


@given(U64, U64)
def test_blocks_are_told_by_number_and_size(block: int, size: int) -> None:
    assert frames.unpack_block(only_body(frames.pack_block(block, size), BLOCK)) == (block, size)


@given(st.sampled_from([frames.RETURNED, frames.FORGET_BLOCK]), st.lists(U64, max_size=20))
def test_any_number_of_blocks_is_returned_or_forgotten_at_once(kind: int, ids: list[int]) -> None:
    assert frames.unpack_ids(only_body(frames.pack_ids(kind, ids), kind)) == ids


def test_blocks_are_given_their_descriptors_in_order() -> None:
    stream = b"".join(
        (
            frames.pack_block(10, 1),
            pack_frame(RESULTS, b"x"),
            frames.pack_block(11, 2),
            frames.pack_block(12, 3),
        )
    )
    found, _ = split_frames(stream)
    descriptors = [5, -1, 7, 8]
    frames.give_descriptors(found, descriptors)
    assert [body for kind, body in found if kind == BLOCK] == [(10, 1, 5), (11, 2, -1), (12, 3, 7)]
    assert bytes(found[1][1]) == b"x"
    assert descriptors == [8]


def test_a_block_whose_descriptor_stayed_behind_takes_none_of_the_others() -> None:
    behind = pack_frame(RESULTS, b"behind")
    stream = frames.without_descriptor(frames.pack_block(10, 4096) + behind) + frames.pack_block(11, 2)
    found, _ = split_frames(stream)
    descriptors = [5]
    frames.give_descriptors(found, descriptors)
    assert [(kind, body if kind == BLOCK else bytes(body)) for kind, body in found] == [
        (BLOCK, (10, 0, -1)),
        (RESULTS, b"behind"),
        (BLOCK, (11, 2, 5)),
    ]
