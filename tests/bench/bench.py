"""Measures USETL beside its peers on this machine. Started by tests/bench/run."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
OUT = ROOT / "build/bench"
PYTHON = "/usr/bin/python3.11"
os.environ.update(USETL_BUILD=str(BUILD), USETL_RUNTIMES=str(OUT / "runtimes"))
sys.path.insert(0, str(ROOT / "tests/integration"))

from node import Node  # noqa: E402  (needs the environment above)


def percentile(samples: list[float], share: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def row(name, unit, samples, must=None, aim=None, peer=None, peer_samples=None, more_is_better=False):
    """One object of the JSON; must and aim bound p50, or the ratio to the peer where one is given."""
    p50 = statistics.median(samples)
    peer_p50 = statistics.median(peer_samples) if peer_samples else None
    ratio = (peer_p50 / p50 if not more_is_better else p50 / peer_p50) if peer_p50 else None
    judged = ratio if ratio is not None else p50

    def reaches(bound):
        if bound is None:
            return False
        return judged >= bound if (ratio is not None or more_is_better) else judged <= bound

    return {"name": name, "unit": unit, "p50": p50, "p99": percentile(samples, 0.99), "n": len(samples),
            "peer": peer, "peer_p50": peer_p50, "ratio": ratio, "must": must, "aim": aim,
            "met": "aim" if reaches(aim) else "must" if reaches(must) else "no"}


def bake() -> dict:
    samples = []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(7):
            done = subprocess.run([BUILD / "usetl", "bake", BUILD / "rootfs", "--runtimes", directory],
                                  capture_output=True, text=True, check=True)
            samples.append(float(re.search(r": (\d+) ms", done.stdout).group(1)))
    return row("bake: image to READY snapshot", "ms", samples[1:], 2000, 500)


def path_of_a_usf(node: Node) -> list[dict]:
    # Real source of about 10 kB (queue.py), then a handler whose first line speaks.
    filler = pathlib.Path("/usr/lib/python3.11/queue.py").read_text()
    code = filler + "\nimport os\ndef handler(event, context):\n    os.write(1, b'x')\n    return {'n': event['n']}\n"
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory) / "f.py"
        source.write_text(code)
        compiled = pathlib.Path(directory) / "f.pyc"
        subprocess.run([PYTHON, "-c", "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2])",
                        source, compiled], check=True)

        def measure(rounds, *files):
            done = subprocess.run([BUILD / "usf_bench", node.directory, str(rounds), *files],
                                  capture_output=True, text=True, check=True)
            return json.loads(done.stdout)

        small = pathlib.Path(directory) / "small.py"
        small.write_text("import os\ndef handler(event, context):\n    return {'n': event['n'], 'ok': True}\n")
        measure(10, small)
        handler = measure(100, small)
        measure(10, source, compiled)
        ready = measure(100, source, compiled)
        fresh = measure(100, source)
    rows.append(row("pool to first line, code compiled", "us", ready["first_line"], 500, 100))
    rows.append(row("pool to first line, from source", "us", fresh["first_line"], 3000, 1500))
    rows.append(row("invoke a small JSON handler", "us", handler["invoke"], 300, 100))
    rows.append(row("rollback after it", "us", handler["rollback"], 100, 50))
    return rows


def script(node: Node) -> dict:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "s.py"
        path.write_text("import json\nprint(json.dumps({'ok': 1}))\n")

        def timed(command):
            begin = time.perf_counter()
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            return (time.perf_counter() - begin) * 1e3

        usf, plain = [], []
        for _ in range(40):
            usf.append(timed([BUILD / "usetl", "run", path, "--script", "--node", node.directory]))
            plain.append(timed([PYTHON, path]))
    return row("script, start to result, by usetl run", "ms", usf, 10, 50, "python3.11 script", plain)


def memory(node: Node) -> dict:
    samples = []
    for usf in json.loads(node.usetl("inspect").stdout)["usfs"]:
        if usf["state"] != "idle":
            continue
        rollup = pathlib.Path(f"/proc/{usf['pid']}/smaps_rollup").read_text()
        status = pathlib.Path(f"/proc/{usf['pid']}/status").read_text()
        private = sum(int(n) for n in re.findall(r"Private_\w+:\s+(\d+) kB", rollup))
        samples.append((private + int(re.search(r"VmPTE:\s+(\d+)", status).group(1))) / 1024)
    return row("private memory of an idle USF (smaps, page tables)", "MB", samples, 4, 2)


def getpid() -> dict:
    runner = [BUILD / "usf_runner", BUILD / "usetl-kernel.elf", BUILD / "guest.pack", "/t/bench_getpid"]
    usf = [float(subprocess.run(runner, capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    plain = [float(subprocess.run([BUILD / "guest-tests/bench_getpid"], capture_output=True, text=True,
                                  check=True).stdout) for _ in range(5)]
    result = row("getpid through a rewritten site", "ns", usf, 50, 10)
    result.update(peer="Linux", peer_p50=statistics.median(plain))
    return result


def usf_suite() -> list[dict]:
    rows = [bake()]
    node = Node(pool=4)
    try:
        time.sleep(1)
        rows += path_of_a_usf(node)
        rows += [script(node), memory(node)]
    finally:
        node.close()
    return rows + [getpid()]


def etl_suite() -> list[dict]:
    rows = []
    code = ("import time, usetl\n"
            "def handler(event, context):\n"
            "  out = []\n"
            "  for _ in range(event['rounds']):\n"
            "    begin = time.perf_counter()\n"
            "    with usetl.get(event['url']) as answer:\n"
            "      total = 0\n"
            "      body = answer.body\n"
            "      for at in range(0, len(body), 1 << 20): total += body[at:at + (1 << 20)].tobytes().count(0)\n"
            "      del body\n"
            "    out.append((time.perf_counter() - begin) * 1e3)\n"
            "  return out\n")
    read = ("import sys, time\nbegin = time.perf_counter()\nimport subprocess\n"
            "subprocess.run(['curl', '-s', '-o', sys.argv[2], sys.argv[1]], check=True)\n"
            "total = 0\n"
            "with open(sys.argv[2], 'rb') as f:\n"
            "  while piece := f.read(1 << 20): total += piece.count(0)\n"
            "print((time.perf_counter() - begin) * 1e3)\n")
    node = Node("--region", "640M", pool=1)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared, tempfile.TemporaryDirectory() as disk:
        server = subprocess.Popen([PYTHON, ROOT / "manifests/samples/server.py", shared, disk, "--port", "8099"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            for megabytes in (2, 8, 64, 256):
                name = f"{megabytes}.bin"
                (pathlib.Path(shared) / name).write_bytes(os.urandom(1 << 20) * megabytes)
                url = f"http://127.0.0.1:8099/{name}"
                rounds = 20 if megabytes < 64 else 5
                done = node.run(code, "--event", json.dumps({"url": url, "rounds": rounds + 1}),
                                "--allow", "http://127.0.0.1:8099")
                if done.returncode != 0:
                    raise RuntimeError(done.stderr)
                usf = json.loads(done.stdout)[1:]
                peers = {}
                for where, target in (("curl to tmpfs", shared), ("curl to disk", disk)):
                    peers[where] = [float(subprocess.run([PYTHON, "-c", read, url, f"{target}/out"],
                                                         capture_output=True, text=True, check=True).stdout)
                                    for _ in range(rounds)]
                rows.append(row(f"GET and read {megabytes} MB", "ms", usf, 0.8, 0.95,
                                "curl to tmpfs", peers["curl to tmpfs"]))
                rows[-1]["disk_p50"] = statistics.median(peers["curl to disk"])
        finally:
            server.kill()
            server.wait()
            node.close()
    return rows


def show(rows: list[dict]) -> None:
    print(f"{'what':52} {'p50':>9} {'p99':>9} {'unit':4} {'must':>7} {'aim':>6} {'peer':>9} {'ratio':>6} met")
    for r in rows:
        number = lambda v, width: f"{v:{width}.2f}" if isinstance(v, (int, float)) else " " * (width - 1) + "-"
        print(f"{r['name']:52} {r['p50']:9.2f} {r['p99']:9.2f} {r['unit']:4} {number(r['must'], 7)} "
              f"{number(r['aim'], 6)} {number(r['peer_p50'], 9)} {number(r['ratio'], 6)} {r['met']}")


def main() -> None:
    suites = {"usf": usf_suite, "etl": etl_suite}
    wanted = sys.argv[1:] or list(suites)
    for name in wanted:
        if name not in suites:
            raise SystemExit(f"tests/bench/run: no suite {name!r}; there are: {', '.join(suites)}")
    for needed in ("rootfs", "guest.pack"):
        if not (BUILD / needed).exists():
            raise SystemExit("tests/bench/run: run tests/run first, it makes what is measured")
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([BUILD / "usetl", "bake", BUILD / "rootfs"], check=True, capture_output=True)
    for name in wanted:
        rows = suites[name]()
        (OUT / f"{name}.json").write_text(json.dumps(rows, indent=1))
        (OUT / f"{name}.svg").write_text(chart.bars(name, rows))
        show(rows)


if __name__ == "__main__":
    main()
