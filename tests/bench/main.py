"""Measures USETL beside its peers on this machine. Started by tests/bench/run."""

import argparse
import importlib
import json
import resource
import subprocess

import chart
from environment import BUILD, OUT

SUITES = ("usf", "start", "etl", "density", "cri")


def show(rows: list[dict]) -> None:
    def number(value, width: int) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:{width}.2f}"

    print(f"{'what':58} {'p50':>9} {'p99':>9} {'unit':4} {'must':>8} {'aim':>8} {'peer':>9} {'ratio':>7} met")
    for row in rows:
        met = row["met"] if row["must"] is not None else "-"
        print(f"{row['name']:58} {number(row['p50'], 9)} {number(row['p99'], 9)} {row['unit']:4} "
              f"{number(row['must'], 8)} {number(row['aim'], 8)} {number(row['peer_p50'], 9)} "
              f"{number(row['ratio'], 7)} {met}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="See tests/bench/README.md.")
    parser.add_argument("--usfs", type=int, default=1000, help="how many the suite density makes (default: 1000)")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    options = parser.parse_args()
    for name in options.suites:
        if name not in SUITES:
            parser.error(f"no suite {name!r}; there are: {', '.join(SUITES)}")
    for needed in ("rootfs", "guest.pack", "density_bench", "http_load"):
        if not (BUILD / needed).exists():
            parser.error("run tests/run first, it makes what is measured")
    # A node holds seven descriptors of each USF.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([BUILD / "usetl", "bake", BUILD / "rootfs"], check=True, capture_output=True)
    for name in options.suites or SUITES:
        rows = importlib.import_module(f"suites.{name}").run(options)
        (OUT / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
        (OUT / f"{name}.svg").write_text(chart.draw(name, rows))
        show(rows)


if __name__ == "__main__":
    main()
