"""The page about the suite has what the tests do, and every module is tested or left out."""

from collections import Counter

from tests.hostile.modules import BEGIN, END, LEFT_OUT, PAGE, PLAN, RP, rows, table


def test_the_page_is_what_the_tests_say() -> None:
    """If this fails, write the page anew: `python tests/hostile/modules.py`."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    written, end, _ = rest.partition(END)

    assert end
    assert written == table()


def test_every_module_is_tested_once_or_left_out() -> None:
    tested = Counter(row.name for row in rows())
    planned = {f"{RP}{name}" for name in PLAN}
    left_out = {f"{RP}{name}" for name in LEFT_OUT}

    assert [name for name, times in tested.items() if times > 1] == []
    assert left_out <= planned
    assert left_out & tested.keys() == set()
    assert planned - left_out - tested.keys() == set()


def test_a_module_of_another_plan_is_not_taken_for_one_of_this() -> None:
    names = {row.name for row in rows()}

    assert {name for name in names if name.startswith(RP)} <= {f"{RP}{name}" for name in PLAN}
