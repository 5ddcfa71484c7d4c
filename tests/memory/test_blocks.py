"""Blocks: shared memory that has no name, and that nobody can leave behind."""

from __future__ import annotations

import mmap
import os
import resource
import signal

import pytest

from phalanx._memory.blocks import Block


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def adopted(block: Block) -> Block:
    return Block.adopt(block.id, block.size, os.dup(block.descriptor))


def test_what_the_lender_writes_the_borrower_sees() -> None:
    lender = Block.make(10_000)
    borrower = adopted(lender)
    assert lender.write(b"abc", 5000) == 5003
    assert borrower.map[5000:5003] == b"abc"
    assert borrower.window()[5000:5003] == b"abc"
    target = bytearray(3)
    borrower.read_into(target, 5000)
    assert target == b"abc"
    lender.close()
    assert borrower.map[5000:5003] == b"abc"
    borrower.close()


def test_what_is_written_through_a_window_stays_there() -> None:
    block = Block.make(4096)
    window = block.window()
    window[:3] = b"abc"
    assert window[:3] == b"abc"
    assert block.map[:3] == block.window()[:3] == b"\0\0\0"
    block.close()


def test_closing_twice_is_harmless_and_gives_the_descriptor_back() -> None:
    block = Block.make(4096)
    number = block.descriptor
    assert not os.get_inheritable(number)
    block.map[:1] = b"x"
    block.close()
    block.close()
    assert block.descriptor == -1
    assert not is_open(number)
    with pytest.raises(ValueError, match="closed"):
        block.window()
    with pytest.raises(ValueError, match="closed"):
        _ = block.map


def test_a_mapping_in_use_outlives_its_block() -> None:
    block = Block.make(4096)
    view = memoryview(block.map)
    window = block.window()
    block.close()
    view[0] = 7
    assert view[0] == window[0] == 7  # a private page is the common one until it is written to
    view.release()


def test_a_block_that_nobody_has_is_gone() -> None:
    number = Block.make(4096).descriptor
    assert not is_open(number)


def test_memory_that_is_refused_is_an_error_at_once() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError):
            Block.make(2 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_system_without_such_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="no anonymous shared memory"):
        Block.make(4096)


def test_a_block_that_is_shorter_than_was_said_is_no_endless_reading() -> None:
    block = Block.make(4096)
    with pytest.raises(EOFError, match="ends before byte 4097"):  # one more byte is for the mark
        block.read_into(bytearray(8), 4092)
    block.close()


def test_ids_are_positive_and_fit_a_signed_word() -> None:
    blocks = [Block.make(4096) for _ in range(50)]
    assert all(0 < block.id < 1 << 63 for block in blocks)
    assert len({block.id for block in blocks}) == 50


def test_a_forked_child_has_no_copy_of_the_descriptor() -> None:
    block = Block.make(4096)
    number = block.descriptor
    pid = os.fork()
    if not pid:
        os._exit(0 if block.descriptor == -1 and not is_open(number) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert is_open(number)
    block.close()


def test_a_killed_process_leaves_nothing() -> None:
    """Neither a name in ``/dev/shm`` nor memory, once the other side has closed too."""
    before = set(os.listdir("/dev/shm"))
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        block = Block.make(mmap.PAGESIZE)
        block.map[:2] = b"hi"
        os.write(tell, b"x")
        signal.pause()
        os._exit(1)
    assert os.read(told, 1) == b"x"
    assert set(os.listdir("/dev/shm")) == before
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert set(os.listdir("/dev/shm")) == before
    os.close(told)
    os.close(tell)


def test_whoever_has_the_block_can_spoil_it() -> None:
    lender = Block.make(4096)
    borrower = adopted(lender)
    assert not lender.is_spoiled
    borrower.spoil()
    assert lender.is_spoiled
    assert lender.map[:] == bytes(4096)
    borrower.close()
    borrower.spoil()
    lender.close()
