"""USFs that were killed and do not end: the node does not wait for them."""

import os
import pathlib
import select
import tempfile
import unittest

from cgroups import removed
from container_case import EXITED, Container, ContainerCase, parse
from node import wait_until

FREEZER, VERSION_2 = "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified"
ENDLESS = "import time\nwhile True: time.sleep(1)\n"


@unittest.skipUnless(os.path.isdir(FREEZER) and os.path.isdir(VERSION_2), "no hierarchy that freezes")
class SlowEnds(ContainerCase):
    def group(self, hierarchy: str) -> pathlib.Path:
        group = pathlib.Path(f"{hierarchy}/usetl-test-{os.getpid()}")
        group.mkdir()
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        return group

    def test_others_go_on_and_no_exit_is_lost(self):
        # Of version 2: the USF ends with its container.
        group, freezer = self.group(VERSION_2), self.group(FREEZER)
        container = self.container(ENDLESS, cgroups=(str(group / "cgroup.procs"),), usf_cgroups=1)
        usf = container.started()["usf"]
        wait_until(lambda: str(usf) in (group / "cgroup.procs").read_text().split())
        # As a limit of the processor does it, but for as long as it is wanted.
        (freezer / "cgroup.procs").write_text(str(usf))
        self.addCleanup((freezer / "freezer.state").write_text, "THAWED")
        (freezer / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (freezer / "freezer.state").read_text() == "FROZEN\n")
        container.stop(0)
        wait_until(lambda: parse(container.exit_path.read_bytes())["type"] == EXITED)
        self.assertEqual(parse(container.exit_path.read_bytes())["code"], 137)
        with tempfile.TemporaryDirectory() as directory:
            other = Container(self.node, self.pod, directory, "print('goes on')\n")
            self.addCleanup(other.connection.close)
            other.started()
            self.assertEqual(other.end()["code"], 0)
        self.assertIn('"ending":1', self.node.usetl("inspect").stdout.replace(" ", ""))
        told, _, _ = select.select([container.connection], [], [], 0)
        self.assertEqual(told, [], "its end was told while its USF is in the pod's cgroup")
        (freezer / "freezer.state").write_text("THAWED")
        self.assertEqual(container.end()["code"], 137)
        self.assertFalse(os.path.exists(f"/proc/{usf}"))


if __name__ == "__main__":
    unittest.main()
