"""`run.logging_handler()`: the standard logging module, recorded as events."""

import logging
import logging.handlers
import os
import queue

import pytest

from labbook.errors import MisuseError
from labbook.journal.reader import Event, SegmentReader


@pytest.fixture
def logger():
    """A logger outside the tree: nobody else listens to it, pytest neither."""
    return logging.Logger("tests.of.labbook", logging.DEBUG)


def logged(run):
    found = []
    for _, _, path in sorted(run.paths.segments(), key=lambda segment: segment[1]):
        found += [r for r in SegmentReader(path).records() if isinstance(r, Event)]
    return [event for event in found if event.fields["kind"] == "log"]


def test_records_become_events_with_level_logger_and_their_own_time(start, logger):
    run = start()
    logger.addHandler(run.logging_handler())
    logger.warning("lr is %s", 0.1)
    [event] = logged(run)
    fields = event.fields
    assert (fields["text"], fields["level"], fields["logger"]) == (
        "lr is 0.1",
        "WARNING",
        "tests.of.labbook",
    )
    assert 0 <= event.time_ns - fields["logged_ns"] < 60e9


def test_a_record_that_waited_in_a_queue_keeps_the_time_it_was_made(start):
    run = start()
    waiting = queue.SimpleQueue()
    record = logging.makeLogRecord({"msg": "early", "created": 1_700_000_000.25})
    logging.handlers.QueueHandler(waiting).emit(record)
    run.logging_handler().emit(waiting.get())
    [event] = logged(run)
    assert event.fields["logged_ns"] == 1_700_000_000_250_000_000


def test_the_level_is_respected_and_checked(start, logger):
    run = start()
    logger.addHandler(run.logging_handler(level="ERROR"))
    logger.warning("no")
    logger.error("yes")
    assert [event.fields["text"] for event in logged(run)] == ["yes"]
    with pytest.raises(MisuseError, match=r"logging_handler\(level='LOUD'\): Unknown level"):
        run.logging_handler(level="LOUD")


def test_tracebacks_are_in_the_text(start, logger):
    run = start()
    logger.addHandler(run.logging_handler())
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("it failed")
    [event] = logged(run)
    assert event.fields["text"].startswith("it failed\nTraceback")
    assert event.fields["text"].endswith("ZeroDivisionError: division by zero")


def test_a_record_that_logs_while_it_is_formatted_does_not_come_back(start, logger):
    class Chatty:
        def __str__(self):
            logger.info("again")
            return "chatty"

    run = start()
    logger.addHandler(run.logging_handler())
    logger.info("%s", Chatty())
    assert [event.fields["text"] for event in logged(run)] == ["chatty"]


def test_a_record_that_cannot_be_formatted_raises_nothing(start, logger, capsys):
    run = start()
    logger.addHandler(run.logging_handler())
    logger.info("%d", "no number")
    logger.info("after")
    assert [event.fields["text"] for event in logged(run)] == ["after"]
    assert "Logging error" in capsys.readouterr().err


def test_forked_children_and_the_time_after_the_end_are_left_to_others(start, logger):
    run = start()
    logger.addHandler(run.logging_handler())
    child = os.fork()
    if child == 0:
        try:
            logger.info("from the child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    logger.info("from the parent")
    run.finish()
    logger.info("after the end")
    assert [event.fields["text"] for event in logged(run)] == ["from the parent"]
    assert run.faults == {}


def test_with_recording_off_there_is_still_a_handler(script):
    done = script.run(
        """
        import labbook, logging
        run = labbook.start()
        logging.getLogger().addHandler(run.logging_handler(level="INFO"))
        logging.getLogger().error("no harm")
        """,
        LABBOOK_MODE="off",
    )
    assert (done.returncode, done.stderr) == (0, "")
