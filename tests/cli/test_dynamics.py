"""`labbook dynamics`: what stands on the screen, and in its JSON."""

from __future__ import annotations

import json
import re

import click
import numpy as np
import pytest
from click.testing import CliRunner

from labbook.cli import main, pictures
from labbook.cli.pictures import draw, sparkline
from labbook.paths import BookPaths
from tests.dynamics.conftest import Set
from tests.dynamics.making import choose, record
from tests.dynamics.test_measures import scores_of

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"
TARGETS = [0, 1, 2, 0, 1, 2]


@pytest.fixture
def paths(tmp_path):
    root = tmp_path / ".labbook"
    root.mkdir()
    (root / "book.json").write_text('{"format": 1}')
    return BookPaths(root)


@pytest.fixture
def invoke(paths):
    def call(*arguments):
        words = ["dynamics", "--book", str(paths.root), *arguments]
        return CliRunner().invoke(main, words)

    return call


@pytest.fixture
def shown(invoke):
    def call(*arguments):
        result = invoke(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    return call


def learn(paths, number, dataset, predictions, *, losses=None, **options):
    """A run that predicted these classes: step -> a class an example."""
    run = Set(paths, f"20260101-000000-run00{number}")
    journal = run.attempt()
    choose(journal, dataset, **options)
    for step, predicted in predictions.items():
        loss = np.float32(range(len(predicted)) if losses is None else losses)
        name = options.get("name", "chosen")
        record(journal, step, {"output": scores_of(*predicted), "loss": loss}, name=name)
    run.read()
    return run.paths.id


def images(n=6):
    """Pictures of one bright corner each."""
    pixels = np.zeros((n, 8, 8), np.uint8)
    pixels[:, :4, :4] = 255
    return pixels, np.array(TARGETS[:n])


LEARNING = {
    10: (1, 1, 0, 0, 0, 0),
    20: (0, 0, 0, 1, 1, 2),
    30: (0, 1, 0, 0, 1, 2),
}


@pytest.fixture
def run_id(paths):
    return learn(paths, 1, images(), LEARNING)


def test_the_first_screen_answers_what_was_learned_when(shown, run_id):
    text = shown(run_id)
    assert "chosen set chosen: 6 examples, observed 3 times, step 10 to 30" in text
    for title in ("Learned late: 2 ", "Forgotten: 2 ", "Never learned: 1 "):
        assert f"\n{title}" in text
    assert "from 30" in text
    assert "forgot 1×" in text
    assert re.search(r"\naccuracy +\S+ +0.3333 → 0.8333", text)
    assert "3 classes, 50% of them 0; total variation from the targets 0.17" in text
    assert "taken for logits" in text
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_pictures_are_drawn_beside_what_they_are(shown, run_id):
    lines = shown(run_id, "--examples", "2").splitlines()
    [at] = [n for n, line in enumerate(lines) if line.startswith("#2, number 2 of the data")]
    assert lines[at + 1] == "  @@@@      target 2"
    assert "never learned" in lines[at + 4]


def test_an_example_in_detail_has_its_history(shown, run_id):
    lines = shown(run_id, "--examples", "1").splitlines()
    events = [line.split()[0::6] for line in lines if line.endswith(("learned", "forgotten"))]
    assert [event for event in events if event[0].isdigit()] == [
        ["10", "learned"],
        ["20", "forgotten"],
        ["30", "learned"],
    ]


def test_a_long_history_keeps_its_events(shown, paths):
    steps = {step: (0,) if step != 50 else (1,) for step in range(100)}
    run_id = learn(paths, 1, images(1), steps)
    text = shown(run_id, "--examples", "0")
    assert re.search(r"\n +50 .*forgotten", text)
    assert re.search(r"\n +51 .*learned", text)
    assert re.search(r"\n +99 ", text)
    assert "80 of 100 observations are left out here" in text


def test_suspects_and_a_sorted_table(shown, run_id):
    numbers = re.findall(r"#(\d)", shown(run_id, "--suspects"))
    assert numbers == ["5", "4", "3", "2", "1", "0"]
    lines = shown(run_id, "--sort", "forgetting", "-n", "3").splitlines()
    head = next(n for n, line in enumerate(lines) if line.lstrip().startswith("#"))
    assert [line.split()[0] for line in lines[head + 1 :]] == ["2", "3", "1"]


def test_a_wrong_order_names_the_right_ones(invoke, run_id):
    result = invoke(run_id, "--sort", "size")
    assert result.exit_code == 2
    assert "no order 'size'; there are mean_loss," in result.stderr


def test_one_step(shown, invoke, run_id):
    text = shown(run_id, "--step", "20")
    assert "At the quartiles of the loss  at step 20" in text
    assert "Never learned" not in text
    result = invoke(run_id, "--step", "21")
    assert result.exit_code == 2
    assert "was not observed at step 21; nearest: 20 and 30" in result.stderr


def test_a_sample_says_how_to_see_it_again(shown, run_id):
    text = shown(run_id, "--sample", "3")
    [again] = re.findall(r"(--sample 3 --seed \d+) shows these again", text)
    assert shown(run_id, *again.split()) == text


def test_examples_that_are_no_numbers(invoke, run_id):
    result = invoke(run_id, "--examples", "1,b")
    assert result.exit_code == 2
    assert "'1,b' is no list of numbers, as 3,17" in result.stderr
    assert "has no example 9" in invoke(run_id, "--examples", "9").stderr


def test_two_runs_side_by_side(shown, paths, run_id):
    other = learn(paths, 2, images(), {30: (1, 1, 2, 0, 1, 2)}, losses=[1, 1, 1, 3, 4, 5])
    text = shown(run_id, "--against", other)
    assert "at the one step observed in both, up to 30" in text
    assert "right in one only: A 1, B 1 (exact McNemar test: p = 1)" in text
    assert "Right in A, wrong in B: 1  at step 30" in text
    assert "A 0 B 1" in text
    assert "A 0 B 2" in text
    found = json.loads(shown(run_id, "--against", other, "--json"))["against"]
    assert found["only_right_in_a"] == [0]
    assert found["loss_difference"]["difference"] == pytest.approx(0)


def test_two_runs_without_classes_differ_in_their_losses(shown, paths):
    ids = []
    for number, losses in ((1, [1, 2, 3]), (2, [1, 3, 1])):
        run = Set(paths, f"20260101-000000-run00{number}")
        journal = run.attempt()
        choose(journal, (np.float32([[0.5], [1], [2]]), np.float32([1, 2, 3])))
        record(journal, 5, {"loss": np.float32(losses), "output": np.float32(losses)})
        run.read()
        ids.append(run.paths.id)
    text = shown(ids[0], "--against", ids[1])
    assert "right first" not in text
    assert re.search(r"\n  loss +-0.3333  \[.+\], may be chance  \(3 examples\)\n", text)
    less_in_a, less_in_b = text.split("Less loss in B")
    assert "#1  target 2  output 2  loss A 2 B 3" in less_in_a
    assert "input 1" in less_in_a
    assert "#2  target 3  output 3  loss A 3 B 1" in less_in_b
    assert max(map(len, text.splitlines())) <= 80


def test_other_examples_are_said_not_to_be_comparable(shown, paths, run_id):
    pixels, targets = images()
    other = learn(paths, 2, (pixels[:4], targets[:4]), {30: (0, 1, 2, 0)})
    text = shown(run_id, "--against", other)
    assert "not comparable: the examples are not the same" in text
    assert "only in A: 2 of the data (4, 5)" in text
    assert "4 examples are the same in both" in text


def test_json_has_everything(shown, run_id):
    found = json.loads(shown(run_id, "--json", "--examples", "2"))
    assert found["set"] == "chosen"
    assert found["scores"]["kind"] == "logits"
    assert [row["example"] for row in found["examples"]] == [0, 1, 2, 3, 4, 5]
    assert [row["step"] for row in found["steps"]] == [10, 20, 30]
    assert [row["quantile"] for row in found["quantiles"]] == [0, 0.25, 0.5, 0.75, 1]
    assert sum(row["predicted"] for row in found["histogram"]) == 6
    assert [row["step"] for row in found["histories"]["2"]] == [10, 20, 30]
    assert len(found["sample"]["examples"]) == 6
    assert found["against"] is None


def test_a_loss_of_nan_is_strict_json_and_seen(shown, paths):
    run_id = learn(paths, 1, images(2), {1: (0, 1)}, losses=[float("nan"), 1])
    found = json.loads(shown(run_id, "--json"))
    assert found["examples"][0]["last_loss"] == "NaN"
    assert "1 losses of 1 examples are not finite" in shown(run_id)


def test_other_sets_are_named(shown, invoke, paths):
    run = Set(paths, "20260101-000000-run001")
    journal = run.attempt()
    for name in ("train", "val"):
        choose(journal, images(), name=name)
        record(journal, 1, {"loss": np.float32(range(6))}, name=name)
    run.read()
    text = shown(run.paths.id)
    assert "chosen set train:" in text
    assert "other sets: val (--set)" in text
    assert "chosen set val:" in shown(run.paths.id, "--set", "val")
    assert (
        "no chosen set 'test'; it has: train, val" in invoke(run.paths.id, "--set", "test").stderr
    )


def test_a_run_without_a_chosen_set(invoke, paths):
    run = Set(paths, "20260101-000000-run001")
    run.attempt()
    run.read()
    result = invoke(run.paths.id)
    assert result.exit_code == 1
    assert "has no chosen set 'chosen'; it has: none" in result.stderr


def test_a_set_that_was_never_observed(shown, paths):
    text = shown(learn(paths, 1, images(), {}))
    assert text.splitlines()[1] == "chosen set chosen: 6 examples, not observed yet"


def test_one_observation_is_said_to_be_too_few(shown, paths):
    text = shown(learn(paths, 1, images(), {10: LEARNING[10]}))
    assert "6 examples, observed once, step 10\n" in text
    assert "one observation is too few to say what was learned when" in text
    for title in ("Learned late", "Forgotten", "Never learned"):
        assert title not in text
    assert "\nSuspects" in text
    assert max(map(len, text.splitlines())) <= 80


def test_texts_are_a_line_each_and_vectors_a_curve(shown, paths):
    texts = [{"text": f"a text of {i}", "label": i} for i in range(3)]
    text = shown(learn(paths, 1, texts, {1: (0, 1, 0), 2: (0, 1, 0)}))
    assert "\n  #2  target 2  output 0 99%  mean 2\n    a text of 2\n" in text
    vectors = (np.tile(np.arange(8.0), (3, 1)), np.arange(3))
    text = shown(learn(paths, 2, vectors, {1: (0, 1, 0)}))
    assert "\n    ▁▂▃▄▅▆▇█\n" in text


def test_no_escape_sequence_reaches_the_terminal(shown, paths):
    texts = [{"text": ESCAPES, "label": ESCAPES} for _ in range(3)]
    run_id = learn(paths, 1, texts, {1: (0, 1, 0)}, name="chosen")
    for words in ([], ["--examples", "0"], ["--sort", "class"], ["--suspects"]):
        text = shown(run_id, *words)
        assert "red" in text
        assert not set("\x1b\x07\x9b\u202e") & set(text)


# ---------------------------------------------------------------- drawing


@pytest.fixture
def terminal(monkeypatch):
    """A terminal with colours, as far as drawing asks."""
    for module in ("pictures", "cards", "learned", "tracing", "against", "tables", "observing"):
        monkeypatch.setattr(f"labbook.cli.{module}.has_colour", lambda: True)
    return monkeypatch


def test_half_blocks_show_two_pixels_a_cell():
    [line] = draw(np.array([[0, 255], [255, 0]], np.uint8), 10, 10, 1 << 24)
    assert click.unstyle(line) == "▀▀"
    assert "\x1b[38;2;0;0;0m\x1b[48;2;255;255;255m▀" in line
    [line] = draw(np.full((2, 1, 3), (255, 0, 0), np.uint8), 10, 10, 256)
    assert "\x1b[38;5;196m" in line
    [line] = draw(np.full((2, 1), 128, np.uint8), 10, 10, 256)
    assert "\x1b[38;5;244m" in line


@pytest.mark.parametrize("shape", [(64, 64), (7, 3), (64, 5), (5, 64, 3), (1, 1)])
@pytest.mark.parametrize("n_colours", [0, 256, 1 << 24])
def test_a_picture_fits_and_its_lines_are_equally_wide(shape, n_colours):
    lines = draw(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8), 16, 8, n_colours)
    widths = {len(click.unstyle(line)) for line in lines}
    assert len(lines) <= 8
    assert len(widths) == 1
    assert max(widths) <= 16


def test_colours_are_those_that_the_terminal_has(terminal):
    for colorterm, term, expected in (
        ("truecolor", "xterm", 1 << 24),
        ("", "xterm-256color", 256),
        ("", "vt100", 0),
    ):
        terminal.setenv("COLORTERM", colorterm)
        terminal.setenv("TERM", term)
        assert pictures.colours() == expected
    terminal.setattr("labbook.cli.pictures.has_colour", lambda: False)
    assert pictures.colours() == 0


def test_a_coloured_screen_says_the_same_and_no_line_is_longer(terminal, paths, run_id):
    from labbook.book.reading import Book
    from labbook.cli.observing import Question

    terminal.setenv("COLORTERM", "truecolor")
    asked = dict.fromkeys(("name", "step", "examples", "suspects", "sort", "against", "scores"))
    asked |= {"sample": None, "seed": 3, "limit": None}
    lines = list(Question(Book(paths).run(run_id), None, asked).lines())
    plain = [click.unstyle(line) for line in lines]
    assert any("▀" * 8 in line for line in plain)
    assert max(map(len, plain)) <= 80
    # what is wrong is red
    assert "\x1b[31moutput 0 99%" in "\n".join(lines)


def test_a_curve_leaves_gaps_and_joins_what_has_no_room():
    assert sparkline([0, None, 1], 10) == "▁ █"
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([float("nan")], 3) == " "
    assert sparkline([], 3) == ""
    assert sparkline([2, 2], 3) == "▁▁"


def test_a_curve_on_a_terminal_without_unicode(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Ascii())
    assert sparkline([0, 1], 3) == "_#"
