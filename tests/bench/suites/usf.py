"""The path of a USF and its memory: bake, claim, load, invoke, rollback, script, getpid."""

import json
import pathlib
import re
import subprocess
import tempfile
import time

from environment import BUILD, OUT, PYTHON, Node
from rows import row
from run_client import run_script
from suites import usf_memory

# Real source of about 10 kB, then a handler whose first line speaks.
CODE = (pathlib.Path("/usr/lib/python3.11/queue.py").read_text()
        + "\nimport os\ndef handler(event, context):\n    os.write(1, b'x')\n    return {'n': event['n']}\n")
SMALL = "def handler(event, context):\n    return {'n': event['n'], 'ok': True}\n"


def bake() -> dict:
    samples = []
    with tempfile.TemporaryDirectory(dir=OUT) as directory:
        for _ in range(7):
            done = subprocess.run([BUILD / "usetl", "bake", BUILD / "rootfs", "--runtimes", directory],
                                  capture_output=True, text=True, check=True)
            samples.append(float(re.search(r": (\d+) ms", done.stdout).group(1)))
    return row("bake: image to READY snapshot", "ms", samples[1:], 2000, 500)


def path_of_a_usf(node: Node) -> list[dict]:
    with tempfile.TemporaryDirectory() as directory:
        source, compiled, small = (pathlib.Path(directory) / name for name in ("f.py", "f.pyc", "small.py"))
        source.write_text(CODE)
        small.write_text(SMALL)
        subprocess.run([PYTHON, "-c", "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2])",
                        source, compiled], check=True)

        def measure(rounds: int, *files: pathlib.Path) -> dict:
            done = subprocess.run([BUILD / "usf_bench", f"{node.directory}/vmmd.sock", str(rounds), *files],
                                  capture_output=True, text=True, check=True)
            return json.loads(done.stdout)

        def warm_then_measure(*files: pathlib.Path) -> dict:
            measure(10, *files)
            return measure(100, *files)

        handler = warm_then_measure(small)
        ready = warm_then_measure(source, compiled)
        fresh = warm_then_measure(source)
    return [row("pool to first line, code compiled", "us", ready["first_line"], 500, 100),
            row("pool to first line, from source", "us", fresh["first_line"], 3000, 1500),
            row("invoke a small JSON handler", "us", handler["invoke"], 300, 100),
            row("rollback after it", "us", handler["rollback"], 100, 50)]


def script(node: Node) -> list[dict]:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "s.py"
        path.write_text("import json\nprint(json.dumps({'ok': 1}))\n")
        command = [BUILD / "usetl", "run", path, "--script", "--node", node.directory]
        sides = {"client": lambda: run_script(pathlib.Path(node.directory), path),
                 "command": lambda: subprocess.check_output(command, stdin=subprocess.DEVNULL),
                 "plain": lambda: subprocess.check_output([PYTHON, path], stdin=subprocess.DEVNULL)}
        samples = {name: [] for name in sides}
        for _ in range(45):
            for name, side in sides.items():
                begin = time.perf_counter()
                output = side()
                samples[name].append((time.perf_counter() - begin) * 1e3)
                assert output == b'{"ok": 1}\n', output
    client, command, plain = (values[5:] for values in samples.values())
    return [row("script, start to result", "ms", client, 10, 50, peer="python3.11 script", peer_samples=plain),
            row("the same by the command usetl run", "ms", command, peer="python3.11 script", peer_samples=plain)]


def getpid() -> dict:
    runner = [BUILD / "usf_runner", BUILD / "usetl-kernel.elf", BUILD / "guest.pack", "/t/bench_getpid"]

    def nanoseconds(command: list) -> float:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    pairs = [(nanoseconds(runner), nanoseconds([BUILD / "guest-tests/bench_getpid"])) for _ in range(5)]
    usf, plain = map(list, zip(*pairs))
    return row("getpid through a rewritten site", "ns", usf, 50, 10, peer="getpid of Linux", peer_samples=plain,
               judge="p50")


def run(options) -> list[dict]:
    rows = [bake()]
    node = Node(pool=4)
    try:
        usf_memory.wait_for_idle(node, 4)
        rows += path_of_a_usf(node)
        rows += script(node)
    finally:
        node.close()
    return rows + usf_memory.run() + [getpid()]
