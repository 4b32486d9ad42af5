"""Runs go to the trash and come back; a live one stays."""

from tests.upkeep.conftest import book_of, cli


def test_a_removed_run_is_gone_and_comes_back_whole(recorded):
    run_id = recorded.only().id
    before = book_of(recorded).run(run_id).series("loss")
    assert f"{run_id} is in the trash" in cli(recorded, "rm", "first")
    assert book_of(recorded).ids() == []
    assert cli(recorded, "rm", "--undo") == f"{run_id} is back\n"
    assert book_of(recorded).run(run_id).series("loss").equals(before)
    assert "the trash is empty" in cli(recorded, "rm", "--undo", code=1)


def test_a_live_run_is_not_removed_and_not_copied(script, live, tmp_path):
    run_id, process = live
    assert f"run {run_id} is running: end it before" in cli(script, "rm", run_id, code=2)
    assert "is running" in cli(script, "copy", run_id, str(tmp_path / "other"), code=2)
    process.communicate("\n", timeout=30)
    assert "is in the trash" in cli(script, "rm", run_id)


def test_rm_without_a_run_says_what_it_wants(recorded):
    assert "name a RUN, or use --undo" in cli(recorded, "rm", code=2)


def test_a_copy_in_another_book_reads_the_same(recorded, tmp_path):
    run_id = recorded.only().id
    target = tmp_path / "other" / ".labbook"
    cli(recorded, "copy", "first", str(target))
    import labbook

    copied = labbook.open(target).run(run_id)
    original = book_of(recorded).run(run_id)
    assert copied.series("loss").equals(original.series("loss"))
    assert copied.state.name == original.state.name == "finished"
    assert f"run {run_id} is in {target} already" in cli(
        recorded, "copy", "first", str(target), code=2
    )
