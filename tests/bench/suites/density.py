"""Many USFs ready at once, each then claimed by a tenant of its own and answering."""

import json
import pathlib
import subprocess
import tempfile

import memory
from environment import BUILD, RUNTIMES
from rows import row
from suites.usf_memory import settled

MUST, AIM = 1000, 2000
RESERVE = 1024  # MB that the machine keeps
MOST = 22 * 1024  # MB that the suite takes
FUNCTION = "import os\ndef handler(event, context):\n    os.write(1, b'x')\n    return {'n': event['n']}\n"


def shortage(before: dict[str, float]) -> str | None:
    now = memory.meminfo()
    if now["MemAvailable"] < RESERVE:
        return f"only {now['MemAvailable']:.0f} MB of memory are left"
    taken = memory.in_use(now) - memory.in_use(before)
    return f"it would take more than {MOST} MB of memory" if taken > MOST else None


class Density:
    def __init__(self, directory: str, count: int):
        function = pathlib.Path(directory) / "f.py"
        function.write_text(FUNCTION)
        self.process = subprocess.Popen(
            [BUILD / "density_bench", f"{directory}/vmmd.sock", RUNTIMES, BUILD, str(count), function],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"density_bench ended with status {self.process.wait()}")
        return line

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.terminate()  # its vmmd and the USFs go with it
        self.process.communicate()


def fill(density: Density, before: dict[str, float], count: int) -> tuple[int, bool]:
    """Waits for the pool; how many are ready, and whether it is full or cannot grow any more."""
    while True:
        word, _, number = density.line().partition(" ")
        ready = int(number)
        if word == "ready":
            return ready, True
        if why := shortage(before):
            print(f"density: stopped at {ready} of {count} USFs: {why}")
            return ready, False


def run(options) -> list[dict]:
    before = settled()
    with tempfile.TemporaryDirectory() as directory:
        density = Density(directory, options.usfs)
        try:
            ready, complete = fill(density, before, options.usfs)
            idle = settled()
            result = {}
            if complete:
                density.go_on()
                result = json.loads(density.line())
                answered = settled()
                density.go_on()
                density.process.wait(120)
        finally:
            density.close()
    if 0 < ready < options.usfs and complete:
        print(f"density: the pool stopped at {ready} of {options.usfs} USFs")
    rows = [row("USFs ready at once", "USFs", [ready], MUST, AIM, more_is_better=True)]
    if ready:
        rows.append(row("memory of a ready USF", "MB", [(memory.in_use(idle) - memory.in_use(before)) / ready]))
    if result:
        claimed = result["claimed"]
        rows += [
            row("tenants whose USF answers beside all others", "USFs", [min(claimed, len(result["invoke"]))], MUST,
                AIM, more_is_better=True),
            row("memory of a USF that has answered", "MB",
                [(memory.in_use(answered) - memory.in_use(before)) / claimed]),
            row("one USF made, from nothing to ready", "ms", [result["fill_us"] / 1e3 / ready]),
            row("claim to first line, all others held", "us", result["first_answer"]),
            row("invoke, each USF in turn", "us", result["invoke"]),
        ]
    return rows
