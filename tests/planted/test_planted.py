"""The programs are what they claim to be, and a few of them are checked from end to end."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from labbook.checks.rule import registry
from tests.planted.faults import FAULTS
from tests.planted.faults.families import EXACT
from tests.planted.program import Fault, Program, bases, clean, edited, faulty, written
from tests.planted.running import Result, known, run_all
from tests.planted.scoring import Score, look, wilson
from tests.planted.variants import VARIANTS


def test_there_are_enough_programs():
    assert len(bases()) >= 8
    assert len(FAULTS) >= 80
    assert len(clean()) >= 50


def test_names_are_unique_and_can_be_file_names():
    names = Counter(program.name for program in (*faulty(), *clean()))
    assert [name for name, n in names.items() if n > 1] == []
    assert [
        name for name in names if not set(name) <= {*"abcdefghijklmnopqrstuvwxyz0123456789-_"}
    ] == []


@pytest.mark.parametrize("planted", [*FAULTS, *VARIANTS], ids=lambda p: p.name)
def test_edits_apply_and_leave_python(planted):
    text = edited(planted.base, planted.edits)
    assert text != bases()[planted.base].read_text()
    ast.parse(text)


def test_an_edit_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"0 times in mlp\.py"):
        edited("mlp", (("no such line", ""),))
    with pytest.raises(ValueError, match="not once"):
        edited("mlp", (("model", "net"),))
    with pytest.raises(ValueError, match="changes nothing"):
        edited("mlp", (("N_CLASSES = 5", "N_CLASSES = 5"),))


def test_a_fault_is_a_small_difference():
    sizes = {f.name: sum(new.count("\n") - old.count("\n") for old, new in f.edits) for f in FAULTS}
    assert {name: n for name, n in sizes.items() if abs(n) > 20} == {}


def test_every_exact_check_has_three_faults_on_different_bases():
    for check in EXACT:
        own = [fault.base for fault in FAULTS if fault.exact == check]
        assert len(own) >= 3, check
        assert len(set(own)) >= 3, check
    assert {fault.exact for fault in FAULTS} - {""} == set(EXACT)


def test_every_program_has_a_subject_and_can_be_run_alone():
    for name, path in {**bases(), **written()}.items():
        text = path.read_text()
        assert "@labbook.subject" in text, name
        assert '__name__ == "__main__"' in text, name
        assert "tests" not in text, name


def test_every_rule_that_is_named_exists():
    assert [fault.name for fault in FAULTS if not isinstance(fault.rules, tuple)] == []
    named = {rule for fault in FAULTS for rule in fault.rules}
    assert sorted(named - set(registry())) == []


def test_an_exact_fault_names_its_exact_rules():
    for fault in FAULTS:
        if fault.exact:
            assert set(EXACT[fault.exact]) & set(fault.rules), fault.name


STALE = next(fault for fault in FAULTS if fault.name == "mlp-no-zero-grad")


@pytest.mark.timeout(240)
def test_programs_are_checked_in_processes_and_remembered(tmp_path: Path):
    programs = [
        Program(STALE.name, edited(STALE.base, STALE.edits), STALE),
        Program("moons", bases()["moons"].read_text()),
        Program("cannot", "raise SystemExit('no data here')\n"),
    ]
    score = Score()
    for program, result in run_all(programs, tmp_path, budget_s=20):
        score.add(look(program, result))
    (stale,) = score.faults
    assert "loop/stale-grad" in stale.alarms
    assert {s.program.name: s.error for s in score.clean} == {"moons": "", "cannot": "no data here"}

    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == 3
    with (tmp_path / "results.jsonl").open("a") as out:
        out.write('{"name": "cut sh')
    assert len(known(tmp_path)) == 3
    assert len(list(run_all(programs, tmp_path, budget_s=20))) == 3
    assert len(known(tmp_path)) == 3, "a result was not taken from the file"


@pytest.mark.timeout(120)
def test_a_program_that_does_not_end_is_ended(tmp_path: Path):
    endless = Program("endless", "while True:\n    pass\n")
    ((_, result),) = run_all([endless], tmp_path, limit_s=5)
    assert result.report is None
    assert result.error == "not done in 5 s"


def finding(rule: str, status: str, follows_from: str | None = None) -> dict[str, str | None]:
    return {"rule": rule, "status": status, "follows_from": follows_from}


def seen(fault: Fault | None, *findings: dict[str, str | None]):
    report = {"findings": list(findings), "skipped": [], "seconds": 1.0}
    return look(Program("p", "", fault), Result("p", "", report, "", 1.0))


def test_scores_count_what_is_not_folded():
    fault = Fault("f", "mlp", (), ("loss/sign",), "", "sign")
    right = seen(fault, finding("loss/sign", "fail"), finding("fit/overfit-1", "fail", "loss/sign"))
    later = seen(fault, finding("init/loss", "fail"), finding("loss/sign", "warn"))
    hidden = seen(fault, finding("init/loss", "fail"), finding("loss/sign", "fail", "init/loss"))
    noted = seen(fault, finding("loss/sign", "note"))
    assert [s.is_detected for s in (right, later, hidden, noted)] == [True, True, True, False]
    assert [s.is_right_first for s in (right, later, hidden, noted)] == [True, False, False, False]
    assert [s.is_right for s in (right, later, hidden, noted)] == [True, True, False, False]

    score = Score()
    for one in (right, hidden, seen(None, finding("loss/sign", "warn")), seen(None)):
        score.add(one)
    (row,) = [row for row in score.exact() if row.check == "sign"]
    assert (row.n, row.missed, row.false) == (2, ("p",), ("p",))
    assert len(score.alarmed) == 1


def test_wilson_intervals_are_those_of_the_literature():
    # Newcombe 1998, Statistics in Medicine 17:857, table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
