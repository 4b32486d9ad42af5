"""The copy of what a program prints, made without the program noticing."""

import io
import os
import pty
import subprocess
import sys
import textwrap

import pytest

from labbook.client.output import Output
from labbook.journal.reader import Event

PROGRAM = """
    import io, os, sys
    from pathlib import Path
    from labbook.client.output import Output
    from labbook.journal.writer import JournalWriter
    from labbook.paths import RunPaths

    paths = RunPaths(Path(sys.argv[1]))
    writer = JournalWriter(paths, "r0-bbbbbb")
    before = sys.stdout, sys.stderr
    output = Output.install(paths, writer)
"""


def program(code):
    return textwrap.dedent(PROGRAM) + textwrap.dedent(code)


def piped(journal, code):
    done = subprocess.run(
        [sys.executable, "-c", program(code), str(journal.paths.root)],
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def on_terminal(journal, code):
    """Run on a real pseudo-terminal; return what the terminal got."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program(code), str(journal.paths.root)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the program's end of the terminal is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait(timeout=50) == 0, shown.decode()
    return shown


def test_both_streams_are_copied_byte_for_byte(journal):
    done = piped(
        journal,
        r"""
        print("epoch 1", "loss", 0.5)
        sys.stdout.write("\rprogress 10%\rprogress 20%")
        sys.stdout.flush()
        print("\x1b[31mred\x1b[0m é ✓", file=sys.stderr, flush=True)
        sys.stdout.buffer.write(b"raw \xff bytes\n")
        sys.stdout.writelines(["a\n", "b\n"])
        """,
    )
    assert b"\xff" in done.stdout
    log = journal.paths.output_log.read_bytes()
    assert log.replace(done.stderr, b"") == done.stdout
    assert done.stderr in log


def test_a_terminal_stays_a_terminal(journal):
    shown = on_terminal(
        journal,
        r"""
        assert sys.stdout.isatty() and sys.stderr.isatty()
        assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
        assert os.get_terminal_size(sys.stdout.fileno())
        assert isinstance(sys.stdout, io.TextIOBase)
        assert sys.stdout.encoding == before[0].encoding
        assert sys.stdout.line_buffering == before[0].line_buffering
        assert sys.stdout.name == "<stdout>"
        print("on a terminal")
        """,
    )
    assert shown == b"on a terminal\r\n"
    assert journal.paths.output_log.read_bytes() == b"on a terminal\n"


def test_a_prompt_and_the_debugger_work(journal):
    code = r"""
        import pdb, threading
        sys.stdin = io.StringIO("p 6 * 7\nc\n")
        pdb.set_trace()
        print("went on")
    """
    done = piped(journal, code)
    assert b"(Pdb) 42" in done.stdout
    assert journal.paths.output_log.read_bytes() == done.stdout


def test_a_stream_that_is_a_file_is_left_alone_and_named(journal, tmp_path):
    path = tmp_path / "slurm-1.out"
    code = program("assert sys.stdout is before[0]; print('kept by Slurm')")
    with open(path, "wb") as file:
        subprocess.run(
            [sys.executable, "-c", code, str(journal.paths.root)],
            stdout=file,
            stderr=subprocess.PIPE,
            timeout=50,
            check=True,
        )
    assert path.read_bytes() == b"kept by Slurm\n"
    assert journal.paths.output_log.read_bytes() == b""
    (event,) = journal.records(Event)
    assert (event.fields["kind"], event.fields["path"]) == ("output", str(path))


def test_what_the_stream_raises_is_raised_and_not_copied(journal):
    piped(
        journal,
        r"""
        try:
            sys.stdout.write(b"bytes")
        except TypeError:
            print("refused", flush=True)
        os.close(1)
        try:
            print("lost", flush=True)
        except OSError:
            sys.stdout = None
        """,
    )
    assert journal.paths.output_log.read_bytes().startswith(b"refused\n")


def test_workers_print_into_the_same_file(journal):
    done = piped(
        journal,
        r"""
        print("parent", flush=True)
        child = os.fork()
        if not child:
            print("child", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print("parent again", flush=True)
        """,
    )
    log = journal.paths.output_log.read_bytes()
    assert log == done.stdout == b"parent\nchild\nparent again\n"


# ---------------------------------------------------------------- in this process


@pytest.fixture
def streams(monkeypatch):
    """Puts streams without a descriptor in place of pytest's; to be called inside the test."""

    def put():
        new = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", new[0])
        monkeypatch.setattr(sys, "stderr", new[1])
        return new

    return put


def test_closing_gives_the_streams_back(journal, streams):
    stdout, stderr = streams()
    output = Output.install(journal.paths, journal.writer)
    print("one")
    held = sys.stdout
    output.close()
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    print("two", file=held)
    assert journal.paths.output_log.read_bytes() == b"one\n"
    assert stdout.buffer.getvalue() == b"one\ntwo\n"


def test_a_stream_that_somebody_put_over_ours_stays(journal, streams):
    _, stderr = streams()
    output = Output.install(journal.paths, journal.writer)
    theirs = sys.stdout = io.StringIO()
    output.close()
    assert sys.stdout is theirs
    assert sys.stderr is stderr


def test_nothing_is_installed_when_not_asked_or_without_streams(journal, monkeypatch):
    assert Output.install(journal.paths, journal.writer, False) is None
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert Output.install(journal.paths, journal.writer) is None
    assert not journal.paths.output_log.exists()


def test_a_log_that_cannot_be_opened_is_counted_and_the_program_prints_on(journal, streams):
    stdout, _ = streams()
    journal.paths.output_log.mkdir()
    assert Output.install(journal.paths, journal.writer) is None
    assert sys.stdout is stdout
    assert journal.writer.faults == {"output": 1}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_counted_and_the_program_prints_on(journal, streams):
    stdout, _ = streams()
    journal.paths.output_log.symlink_to("/dev/full")
    output = Output.install(journal.paths, journal.writer)
    print("one")
    print("two")
    output.close()
    assert stdout.buffer.getvalue() == b"one\ntwo\n"
    assert journal.writer.faults["output"] == 4
    assert len(journal.said) == 1
    assert "No space left on device" in journal.said[0]


def test_characters_the_stream_replaces_are_copied_as_it_puts_them_out(journal, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    output = Output.install(journal.paths, journal.writer)
    print("é")
    output.close()
    assert journal.paths.output_log.read_bytes() == b"\\xe9\n"
