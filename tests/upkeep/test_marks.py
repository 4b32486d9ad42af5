"""Tags, names and notes given later are noticed, also by a reader that is open already."""

import stat

import pytest

from labbook.errors import MisuseError
from labbook.upkeep import marks
from tests.upkeep.conftest import book_of, cli, only


def test_tags_come_and_go_and_the_run_table_notices(recorded):
    book = book_of(recorded)
    assert book.summaries()[0].tags == ("base",)
    assert cli(recorded, "tag", "first", "good", "keep") == "base, good, keep\n"
    assert book.summaries()[0].tags == ("base", "good", "keep")
    assert cli(recorded, "tag", "first", "-r", "base", "-r", "keep") == "good\n"
    assert book.summaries()[0].tags == ("good",)
    assert cli(recorded, "tag", "first", "-r", "good") == "no tags\n"


def test_a_tag_with_a_comma_or_control_character_is_refused(recorded):
    with pytest.raises(MisuseError, match="a tag is one printable word"):
        marks.tag(only(recorded), ["a,b"])
    assert "a tag is one printable word" in cli(recorded, "tag", "first", "a\x1bb", code=2)


def test_a_renamed_run_is_found_by_its_new_name_and_its_id(recorded):
    run = only(recorded)
    cli(recorded, "rename", "first", "the good one")
    book = book_of(recorded)
    assert book.run("the good one").id == run.id
    assert book.run(run.id).name == "the good one"
    assert "no run 'first'" in cli(recorded, "show", "first", code=1)


def test_notes_are_taken_as_text_from_a_pipe_and_from_the_editor(recorded):
    cli(recorded, "note", "first", "looks good")
    notes = only(recorded).paths.notes
    assert notes.read_text() == "looks good\n"
    editor = recorded.folder / "editor"
    editor.write_text('#!/bin/sh\necho "and again" >> "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    cli(recorded, "note", "first", EDITOR=str(editor), VISUAL=str(editor))
    assert notes.read_text() == "looks good\nand again\n"
