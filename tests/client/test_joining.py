"""Which run a process belongs to: ranks, resumes, and four trainings that stay four."""

import subprocess
import sys

import pytest

from labbook.client import joining
from labbook.errors import MisuseError
from tests.client.conftest import conditions_of

SCRIPT = """
    import os, sys, labbook
    run = labbook.start({}, gauges=False, output=False)
    for step in range(10):
        run.log(loss=float(os.environ.get("RANK", 0)), step=step)
    print(run.id)
    if "--wait" in sys.argv:
        sys.stdout.flush()
        sys.stdin.readline()
"""


def together(script, environments):
    path = script.write(SCRIPT)
    processes = [
        subprocess.Popen(
            [sys.executable, str(path), "--wait"],
            env=script.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    ids = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate("go on\n", timeout=50)
    return ids


def ranks(n, **more):
    return [{"RANK": str(r), "WORLD_SIZE": str(n), **more} for r in range(n)]


@pytest.mark.parametrize(
    "key",
    [
        {"TORCHELASTIC_RUN_ID": "abc"},
        {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
        {"LABBOOK_RUN_ID": "20260101-000000-mine00"},
    ],
)
def test_ranks_with_a_launchers_key_join_one_run(script, key):
    ids = together(script, ranks(3, **key))
    assert len(set(ids)) == 1
    run = script.only()
    assert [conditions_of(run, rank=r)["world_size"] for r in range(3)] == [3, 3, 3]
    assert [f.name for f in run.attempts.iterdir()] == ["1"]


def test_four_trainings_under_one_srun_stay_four_runs(script):
    environments = [
        {"SLURM_PROCID": str(i), "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77"} for i in range(4)
    ]
    assert len(set(together(script, environments))) == 4
    assert len(script.runs()) == 4


def test_a_world_of_one_joins_nobody(script):
    key = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    assert len(set(together(script, ranks(1, **key) + ranks(1, **key)))) == 2


def test_a_dead_runs_key_is_not_joined(script):
    """Yesterday's port is today's port: the rank waits for the rank 0 of today."""
    key = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    first = together(script, ranks(2, **key))
    second = together(script, ranks(2, **key))
    assert len(set(first)) == 1
    assert len(set(second)) == 1
    assert first[0] != second[0]


def test_resume_by_prefix_adds_an_attempt(script):
    first = script.run(SCRIPT).stdout.strip()
    done = script.run(
        f"""
        import labbook
        run = labbook.start({{}}, resume="{first[:15]}", resume_step=5, gauges=False)
        run.log(loss=1.0)
        print(run.id, run.attempt)
        """
    )
    assert done.stdout == f"{first} 2\n", done.stderr
    assert "attempt 2" in done.stderr
    assert conditions_of(script.only(), attempt=2)["resume_step"] == 5


def test_resume_of_nothing_is_a_clear_error(script):
    done = script.run("import labbook; labbook.start({}, resume='2019')")
    assert "no run '2019' to resume in" in done.stderr
    assert "`labbook ls` lists them" in done.stderr


def test_resume_of_several_is_a_clear_error(script):
    script.run(SCRIPT)
    script.run(SCRIPT)
    done = script.run("import labbook; labbook.start({}, resume='20')")
    assert "'20' could be any of" in done.stderr


def test_resume_of_a_live_run_is_refused(script):
    path = script.write(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(path), "--wait"],
        env=script.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run_id = process.stdout.readline().strip()
    done = script.run(f"import labbook; labbook.start({{}}, resume='{run_id}')", name="second.py")
    process.communicate("go on\n", timeout=50)
    assert f"run {run_id} is still being written by process {process.pid}" in done.stderr


def test_resume_auto_follows_the_schedulers_job(script):
    job = {"SLURM_JOB_ID": "991", "LABBOOK_RESUME": "auto"}
    first = script.run(SCRIPT, **job).stdout
    second = script.run(SCRIPT, **job).stdout
    other = script.run(SCRIPT, **{**job, "SLURM_JOB_ID": "992"}).stdout
    task = script.run(SCRIPT, **job, SLURM_ARRAY_JOB_ID="991", SLURM_ARRAY_TASK_ID="4").stdout
    assert first == second
    assert len({first, other, task}) == 3


def test_resume_auto_without_a_job_makes_a_new_run(script):
    first = script.run(SCRIPT, LABBOOK_RESUME="auto").stdout
    assert script.run(SCRIPT, LABBOOK_RESUME="auto").stdout != first


def test_a_rank_that_finds_no_rank_zero_records_a_run_of_its_own(script):
    done = script.run(
        """
        import labbook
        from labbook.client import joining
        joining.wait_for_rank_zero.__defaults__ = (0.1,)
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        """,
        RANK="1",
        WORLD_SIZE="2",
        MASTER_ADDR="localhost",
        MASTER_PORT="29500",
    )
    assert done.returncode == 0, done.stderr
    assert "rank 1 records its own" in done.stderr
    assert conditions_of(script.only(), rank=1)["rank"] == 1


def test_a_rank_that_is_no_number_is_a_clear_error():
    with pytest.raises(MisuseError, match="RANK='one' in the environment must be a whole number"):
        joining.place({"RANK": "one"})
