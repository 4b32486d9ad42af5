"""`run.follow()`: every row of a live run once, through rolls and seals, until it ends."""

import labbook

TRAIN = """
    import sys, labbook
    from labbook.journal import writer
    run = labbook.start({}, gauges=False, output=False)
    run._journal._limit = 2000
    print(run.id, flush=True)
    for block in range(4):
        sys.stdin.readline()
        for step in range(block * 50, block * 50 + 50):
            run.log(loss=step / 2, step=step)
            if step % 10 == 0:
                run.log(val=float(step), step=step)
        run._sealer._due = True
        run._sealer.tick()
    run.finish()
"""


def test_a_live_run_is_followed_to_its_end(script):
    process = script.popen(TRAIN)
    run_id = process.stdout.readline().strip()
    run = labbook.open(script.book.root).run(run_id)
    rows = []
    blocks = 0
    feed = run.follow(poll_s=0.01)
    while True:
        if blocks < 4 and len(rows) == blocks * 55:
            process.stdin.write("go\n")
            process.stdin.flush()
            blocks += 1
        table = next(feed, None)
        if table is None:
            break
        rows += table.to_pylist()
    process.communicate(timeout=30)
    losses = [(row["step"], row["value"]) for row in rows if row["name"] == "loss"]
    assert losses == [(step, step / 2) for step in range(200)]
    assert [row["step"] for row in rows if row["name"] == "val"] == list(range(0, 200, 10))
