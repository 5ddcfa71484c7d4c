"""Pages are shared with whoever they travelled to."""

from __future__ import annotations

import multiprocessing
import os
import pickle

import pytest

from phalanx._base.page import CLAIM, LIMIT, NO_LIMIT, PAGE_WORDS
from phalanx._platform.pages import LocalPages, SharedPages


def answer(pages: SharedPages, index: int) -> None:
    page = pages.page(index)
    page[CLAIM] = page[LIMIT] - 1


def test_both_sides_see_the_same_words(start_method: str) -> None:
    pages = SharedPages(8)
    page, neighbour = pages.page(5), pages.page(4)
    page[LIMIT] = NO_LIMIT
    process = multiprocessing.get_context(start_method).Process(target=answer, args=(pages, 5))
    process.start()
    process.join()
    assert process.exitcode == 0
    process.close()
    assert page[CLAIM] == NO_LIMIT - 1
    assert list(neighbour) == [0] * PAGE_WORDS
    pages.close()


def test_pages_do_not_travel_in_an_ordinary_pickle() -> None:
    pages = SharedPages(1)
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(pages)
    pages.close()


@pytest.mark.parametrize("kind", [SharedPages, LocalPages])
def test_a_page_is_eight_words_of_its_own(kind: type[SharedPages] | type[LocalPages]) -> None:
    pages = kind(2)
    first, second = pages.page(0), pages.page(1)
    assert len(first) == PAGE_WORDS
    first[0] = NO_LIMIT
    assert (pages.page(0)[0], second[0]) == (NO_LIMIT, 0)
    for outside in (-1, 2):
        with pytest.raises(IndexError):
            pages.page(outside)
    pages.close()
    pages.close()
    assert first[0] == NO_LIMIT, "a page that is held stays"


def test_without_memfd_a_file_that_is_already_gone_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    pages = SharedPages(1)
    pages.page(0)[0] = 7
    assert pages.page(0)[0] == 7
    pages.close()
