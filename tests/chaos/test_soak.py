"""The soak's table goes where it belongs in the document, and nowhere else."""

from __future__ import annotations

from collections import Counter

from tests.chaos.faults import QUOTA, Fault, schedule
from tests.chaos.soak import BEGIN, DOCUMENT, END, Totals, replaced, report


def test_the_table_replaces_what_is_between_the_marks() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert DOCUMENT.read_text().count(BEGIN) == DOCUMENT.read_text().count(END) == 1


def test_the_document_lists_every_fault() -> None:
    table = report(Totals([1], Counter({Fault.SLOW: 2})), None, "2026-01-01")
    assert "| **faults** | **2** |" in table
    missing = [fault for fault in Fault if f"| {fault} |" not in DOCUMENT.read_text()]
    assert not missing


def test_a_seed_gives_the_same_schedule_and_every_fault_its_quota() -> None:
    plans = [schedule(7, ["a", "b"], QUOTA) for _ in range(2)]
    assert plans[0] == plans[1] != schedule(8, ["a", "b"], QUOTA)
    done = Counter(planned.fault for plan in plans[0].values() for planned in plan)
    assert done == Counter(QUOTA)
