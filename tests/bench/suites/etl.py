"""GET of a file and reading every byte of it: a USF beside curl and plain Python on the host."""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from environment import OUT, PYTHON, ROOT, Node
from rows import row

SIZES = (2, 8, 64, 256)  # MB
BLOCKS = 6  # a USF and its peers take turns

FUNCTION = """
import time, usetl

def get_and_read(url):
    begin = time.perf_counter()
    with usetl.get(url) as answer:
        total, body = 0, answer.body
        for at in range(0, len(body), 1 << 20):
            total += body[at:at + (1 << 20)].tobytes().count(0)
        del body
    return (time.perf_counter() - begin) * 1e3

def handler(event, context):
    return [get_and_read(event['url']) for _ in range(event['rounds'])]
"""
PEER = """
import subprocess, sys, time
begin = time.perf_counter()
subprocess.run(['curl', '-s', '-o', sys.argv[2], sys.argv[1]], check=True)
total = 0
with open(sys.argv[2], 'rb') as file:
    while piece := file.read(1 << 20):
        total += piece.count(0)
print((time.perf_counter() - begin) * 1e3)
"""


def by_usf(node: Node, url: str, rounds: int) -> list[float]:
    done = node.run(FUNCTION, "--event", json.dumps({"url": url, "rounds": rounds}), "--allow",
                    url.rpartition("/")[0])
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def by_curl(url: str, target: str) -> float:
    return float(subprocess.run([PYTHON, "-c", PEER, url, f"{target}/out"], capture_output=True, text=True,
                                check=True).stdout)


def measure(nodes: dict[str, Node], targets: dict[str, str], url: str, rounds: int) -> dict[str, list[float]]:
    """The first GET of a run touches memory of the regions that the run has not used yet: it is kept apart."""
    taken: dict[str, list[float]] = {name: [] for name in (*nodes, *(f"{name}, first" for name in nodes), *targets)}
    for _ in range(BLOCKS):
        for name, node in nodes.items():
            first, *rest = by_usf(node, url, rounds + 1)
            taken[f"{name}, first"].append(first)
            taken[name] += rest
        for name, target in targets.items():
            taken[name] += [by_curl(url, target) for _ in range(rounds)]
    return taken


def rows_of(megabytes: int, taken: dict[str, list[float]]) -> list[dict]:
    peer = {"peer": "curl to tmpfs and reading it", "peer_samples": taken["tmpfs"], "megabytes": megabytes}
    return [
        row(f"GET {megabytes} MB and read it: USF, 2 MB pages", "ms", taken["2 MB pages"], 0.8, 0.95, **peer,
            disk_p50=statistics.median(taken["disk"])),
        row(f"GET {megabytes} MB and read it: first of a run", "ms", taken["2 MB pages, first"], **peer),
        row(f"GET {megabytes} MB and read it: USF, 4 kB pages", "ms", taken["4 kB pages"], **peer),
        row(f"GET {megabytes} MB and read it: first, 4 kB pages", "ms", taken["4 kB pages, first"], **peer),
        row(f"GET {megabytes} MB and read it: host to tmpfs", "ms", taken["tmpfs"], megabytes=megabytes),
        row(f"GET {megabytes} MB and read it: host to disk", "ms", taken["disk"], megabytes=megabytes),
    ]


def run(options) -> list[dict]:
    rows, nodes = [], {}
    server = None
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared, tempfile.TemporaryDirectory(dir=OUT) as disk:
        try:
            for name, flags in (("2 MB pages", []), ("4 kB pages", ["--no-huge-pages"])):
                nodes[name] = Node("--region", "640M", *flags, pool=1)
            server = subprocess.Popen([PYTHON, ROOT / "manifests/samples/server.py", shared, disk],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            origin = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for megabytes in SIZES:
                path = pathlib.Path(shared) / f"{megabytes}.bin"
                path.write_bytes(os.urandom(1 << 20) * megabytes)
                taken = measure(nodes, {"tmpfs": shared, "disk": disk}, f"{origin}/{path.name}",
                                5 if megabytes < 64 else 2)
                rows += rows_of(megabytes, taken)
                path.unlink()
        finally:
            if server is not None:
                server.kill()
                server.communicate()
            for node in nodes.values():
                node.close()
    return rows
