"""Snapshot hooks: of modules that the interpreter imports at its start, in a runtime that was baked with them."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from node import BUILD, Node

SITE = "usr/lib/python3/dist-packages"
# Imported by a .pth file, before the agent is.
TEAM = """
import os, usetl
before, restores = [], []
usetl.register_before_snapshot(before.append, "snapshot")
usetl.register_after_restore(lambda: restores.append(os.urandom(8).hex()))
"""
FUNCTION = """
import team, usetl
@usetl.register_before_snapshot
@usetl.register_after_restore
def never():
    raise AssertionError("the function's code was there")
def handler(event, context):
    team.restores.append("of this run")
    return [team.before, team.restores]
"""


class Hooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-hooks-", dir=BUILD))  # of links
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        root = cls.directory / "root"
        subprocess.run(["cp", "-al", BUILD / "rootfs", root], check=True)
        (root / SITE).mkdir(parents=True, exist_ok=True)
        (root / SITE / "team.py").write_text(TEAM)
        (root / SITE / "team.pth").write_text("import team\n")
        subprocess.run([BUILD / "usetl", "bake", root, "--runtimes", cls.directory / "runtimes", "--runtime", "team"],
                       check=True, capture_output=True)

    def test_they_run_before_the_snapshot_and_after_each_restore(self):
        node = Node("--runtimes", str(self.directory / "runtimes"), "--runtime", "team", verify=True)
        self.addCleanup(node.close)
        drawn = set()
        for _ in range(4):
            done = node.run(FUNCTION, "--runtime", "team")
            self.assertEqual(done.returncode, 0, done.stderr)
            before, restores = json.loads(done.stdout)
            # One call each: what a restore and a run have left behind went with the next rollback.
            self.assertEqual((before, restores[1:]), (["snapshot"], ["of this run"]))
            drawn.add(restores[0])
        self.assertEqual(len(drawn), 4)


if __name__ == "__main__":
    unittest.main()
