from __future__ import annotations

import json


def test_shows_state_arguments_code_and_series(lab):
    text = lab.labbook("show", "second").stdout
    assert "state     finished" in text
    assert "command   " in text
    assert "lr        0.001" in text
    assert "(from argparse.Namespace 'args' in train.py)" in text
    assert "modified    train.py" in text
    loss = next(line for line in text.splitlines() if line.split()[:1] == ["loss"])
    assert loss.split() == ["loss", "0.011", "99", "0.011", "1.001", "100"]


def test_a_clean_tree_is_said_to_be_clean(lab):
    lines = lab.labbook("show", "first").stdout.splitlines()
    assert lines[lines.index("Code") + 2] == "  clean"


def test_a_failure_is_shown_with_its_traceback_and_without_its_escapes(lab):
    text = lab.labbook("show", "broken").stdout
    assert "state     failed: RuntimeError: out of memory" in text
    assert 'raise RuntimeError("out of' in text
    assert "\x1b" not in text


def test_a_killed_run_says_so_and_keeps_its_values(lab):
    run = json.loads(lab.labbook("show", "gone", "--json").stdout)
    assert run["state"] == "killed"
    assert run["end"] is None
    assert run["series"]["loss"]["count"] == 100


def test_json_is_what_ls_has_and_more(lab):
    run = json.loads(lab.labbook("show", "first", "--json").stdout)
    [listed] = json.loads(lab.labbook("ls", "--json", "--where", "name=first").stdout)
    assert listed.items() <= {**run, "duration_s": listed["duration_s"]}.items()
    assert run["conditions"]["arguments"]["values"]["lr"] == 0.1
    assert run["damage"] == []


def test_an_unknown_run_names_what_comes_close(lab):
    result = lab.labbook("show", "secnd")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no run 'secnd' in ")
    assert "(second)" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_ambiguous_beginning_is_refused(lab):
    result = lab.labbook("show", "2")
    assert result.exit_code == 1
    assert "'2' could be 4 runs" in result.stderr
