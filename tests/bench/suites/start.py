"""How a function starts, as in the paper: on demand, from the pool, as a process, in a container.

The same file everywhere, from source; from the request to the first byte that it prints.
"""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import container
from environment import BUILD, PYTHON, RUNTIMES, Node
from rows import row
from suites import usf, usf_memory

MAIN = "if __name__ == '__main__':\n    handler({'n': 1}, None)\n"
EVENT = '{"n": 1}'
ROUNDS = 20


def first_byte(command: list, cwd: pathlib.Path | None = None) -> float:
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    first = process.stdout.read(1)
    took = (time.perf_counter() - begin) * 1e3
    _, errors = process.communicate()
    if first != b"x" or process.returncode != 0:
        raise RuntimeError(f"{command[0]}: {errors.decode()}")
    return took


def samples_of(command: list) -> dict[str, list[float]]:
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: [us / 1e3 for us in values] for name, values in json.loads(text).items()}


def peers(node: Node, script: pathlib.Path, bundle: pathlib.Path | None) -> dict[str, list[float]]:
    """Each way once a round, so that all of them see the same machine."""
    taken: dict[str, list[float]] = {"usetl run": [], "process": [], "runc": []}
    for round_ in range(ROUNDS + 2):
        took = {"usetl run": first_byte([BUILD / "usetl", "run", script, "--node", node.directory,
                                         "--event", EVENT]),
                "process": first_byte([PYTHON, script])}
        if bundle is not None:
            took["runc"] = first_byte(["runc", "run", f"usetl-bench-{round_}"], bundle)
        if round_ >= 2:
            for name, value in took.items():
                taken[name].append(value)
    return taken


def run(options) -> list[dict]:
    with tempfile.TemporaryDirectory() as directory:
        script = pathlib.Path(directory) / "f.py"
        script.write_text(usf.CODE + MAIN)
        bundle = None
        if shutil.which("runc"):
            bundle = container.make_bundle(pathlib.Path(directory) / "bundle", script)
        else:
            print("start: no row for runc, it is not installed (apt-get install runc)")
        demand = [BUILD / "start_bench", RUNTIMES, BUILD]
        samples_of([*demand, "2", script])
        made = samples_of([*demand, str(ROUNDS), script])
        node = Node(pool=4)
        try:
            usf_memory.wait_for_idle(node, 4)
            pool = [BUILD / "usf_bench", f"{node.directory}/vmmd.sock"]
            samples_of([*pool, "10", script])
            pooled = samples_of([*pool, "100", script])
            taken = peers(node, script, bundle)
        finally:
            node.close()
    process = {"peer": "process", "peer_samples": taken["process"]}
    rows = [row("USF from the pool: claim to first line", "ms", pooled["first_line"], **process),
            row("USF on demand: launch to first line", "ms", made["first_line"], **process),
            row("USF on demand: launch to ready", "ms", made["ready"]),
            row("USF from the pool, by usetl run", "ms", taken["usetl run"], **process),
            row("process: python3.11 script", "ms", taken["process"])]
    if taken["runc"]:
        rows.append(row("container: runc run", "ms", taken["runc"], **process))
    return rows
