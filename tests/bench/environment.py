"""Where things lie, and the node that the integration tests use too."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
OUT = ROOT / "build/bench"
RUNTIMES = OUT / "runtimes"
PYTHON = "/usr/bin/python3.11"
os.environ.update(USETL_BUILD=str(BUILD), USETL_RUNTIMES=str(RUNTIMES))
sys.path.insert(0, str(ROOT / "tests/integration"))

from node import Node, in_network_namespace, spawn_daemon, wait_until  # noqa: E402  (needs the environment above)

__all__ = ["BUILD", "OUT", "PYTHON", "ROOT", "RUNTIMES", "Node", "in_network_namespace", "spawn_daemon",
           "wait_until"]
