"""The benchmarks judge rightly, and their table can be written into README."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import Bar, Report, Row, Sample, Verdict, duration, judge_times
from benchmarks.rows import ROWS
from benchmarks.table import BEGIN, END, as_markdown, rewrite_readme
from benchmarks.tasks import expect, skewed

ROOT = Path(__file__).resolve().parents[2]


def judged(*bars: Bar, **samples: Sample) -> Report:
    row = Row(name="row", work="work", contenders={}, judge=judge_times, bars=bars)
    return judge_times(row, samples)


def test_a_bar_compares_medians() -> None:
    report = judged(Bar("peer", 0.5), phalanx=Sample((1.0, 1.0, 9.0)), peer=Sample((2.0, 2.0, 0.1)))
    assert report.verdicts == [Verdict(measured="0.500", bar="≤ 0.5 × peer", ok=True)]


def test_a_bar_can_be_against_a_part_of_something() -> None:
    bar = Bar("serial", 1.04, scale=0.5, label="serial ÷ 2")
    assert judged(bar, phalanx=Sample((0.52,)), serial=Sample((1.0,))).ok
    assert not judged(bar, phalanx=Sample((0.53,)), serial=Sample((1.0,))).ok


@pytest.mark.parametrize("missing", ["phalanx", "peer"])
def test_a_bar_against_somebody_who_is_not_there_is_missed(missing: str) -> None:
    samples = {"phalanx": Sample((1.0,)), "peer": Sample((2.0,)), missing: Sample(trouble="not installed")}
    report = judged(Bar("peer", 1.0), **samples)
    assert not report.ok
    assert report.cells[missing] == "not installed"


def test_spread_is_half_the_distance_between_the_quartiles() -> None:
    assert Sample((8.0, 9.0, 10.0, 11.0, 12.0)).spread == pytest.approx(0.1)
    assert Sample((8.0,)).spread == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.3, "12.3 s"), (0.123, "123 ms"), (0.00123, "1.23 ms"), (0.0000004, "0.40 µs")]
)
def test_durations_have_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bars_are_about_somebody_who_runs(row: Row) -> None:
    assert {bar.against for bar in row.bars} | {bar.contender for bar in row.bars} <= set(row.contenders)
    assert next(iter(row.contenders)) == "phalanx"


def test_one_item_in_64_is_long() -> None:
    items = skewed(1_280, 3)
    assert (items.count(300), items.count(3)) == (20, 1_260)
    assert items[0] == items[64] == 300


def test_a_wrong_result_is_no_result() -> None:
    expect(range(3), [0, 1, 2])
    with pytest.raises(AssertionError):
        expect([0, 1], [0, 1, 2])


def test_the_table_replaces_what_stands_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    report = Report("map", "a map", {"phalanx": "1 ms", "serial": "2 ms"}, [], {"phalanx": 0.1})
    for _ in range(2):
        rewrite_readme([report], readme)
    assert readme.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{as_markdown([report])}\n{END}\nafter\n"
    assert "| a map | 1 ms | – |" in as_markdown([report])
    assert "serial: 2 ms" in as_markdown([report])


def test_readme_has_the_markers() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here", encoding="utf-8")
    with pytest.raises(SystemExit, match="markers"):
        rewrite_readme([], readme)
    assert readme.read_text(encoding="utf-8") == "nothing here"
