"""A USF's process that was taken over, played by a script, against the real usetl-vmmd."""

import os
import pathlib
import re
import signal
import unittest

from cgroups import removed
from node import wait_until
from vmmd_case import ENDED, ENTER, LEAVE, RELEASED, Claim, VmmdCase

VERSION_1, VERSION_2 = "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"

HONEST = """
go(receive()[1])
say(MOVED, ENTER)
go(receive()[1])
say(MOVED, LEAVE)
receive()
say(ROLLED_BACK)
receive()
"""

# The order to leave stays in the socket, with the way out of the next pod's cgroup.
LEAVES_UNREAD = """
go(receive()[1])
say(MOVED, ENTER)
wait_for_orders(2)
go(receive(socket.MSG_PEEK)[1])
say(MOVED, LEAVE)
say(ROLLED_BACK)
time.sleep(1000)
"""

# It never was in there, and has all descriptors still to come.
NEVER_ENTERS = """
wait_for_orders(3)
say(MOVED, LEAVE)
say(ROLLED_BACK)
time.sleep(1000)
"""


class HostileUsf(VmmdCase):
    def released(self, behaviour: str) -> dict:
        self.vmmd(behaviour)
        group = self.group(VERSION_1)
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        claim = self.claimed(group / "tasks")
        claim.ask(ENTER)
        if behaviour != NEVER_ENTERS:
            wait_until(lambda: (group / "tasks").read_text())
        claim.ask(LEAVE)
        self.assertEqual(claim.receive()["reply"], RELEASED)
        wait_until(lambda: self.state()["rolling"] == 0)
        state = self.state()
        return {key: state[key] for key in ("lost", "rolled_back")}

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_does_as_it_is_told(self):
        self.assertEqual(self.released(HONEST), {"lost": 0, "rolled_back": 1})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_leaves_an_order_unread(self):
        self.assertEqual(self.released(LEAVES_UNREAD), {"lost": 1, "rolled_back": 0})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_leaves_before_it_has_entered(self):
        self.assertEqual(self.released(NEVER_ENTERS), {"lost": 1, "rolled_back": 0})

    @unittest.skipUnless(os.path.isdir(VERSION_1), "no hierarchy of version 1")
    def test_that_is_lost_is_waited_for(self):
        self.vmmd("go(receive()[1])\nsay(MOVED, ENTER)\n")
        group = self.group(VERSION_1)
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        claim = self.claimed(group / "tasks")
        claim.ask(ENTER)
        self.assertEqual(claim.receive()["reply"], ENDED)
        claim.ask(LEAVE)
        self.assertEqual(claim.receive()["reply"], RELEASED)
        self.assertEqual((group / "tasks").read_text(), "")

    def claimed_in_removed(self) -> Claim:
        group = self.group(VERSION_2)
        claim = self.connect()
        file = os.open(group / "cgroup.procs", os.O_WRONLY)
        group.rmdir()
        claim.claim(file)
        os.close(file)
        self.granted(claim)
        return claim

    def assert_told_when_killed(self, claim: Claim, provoke) -> None:
        """usetl-vmmd gets no turn between the message and the look at the process."""
        [usf] = [usf["pid"] for usf in self.state()["usfs"] if usf["usf"] == claim.usf]
        processor = min(os.sched_getaffinity(0))
        self.addCleanup(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        for process in (0, self.daemon.pid):
            os.sched_setaffinity(process, {processor})
        os.sched_setscheduler(self.daemon.pid, os.SCHED_IDLE, os.sched_param(0))
        provoke(usf)
        answer = claim.receive()
        try:
            status = pathlib.Path(f"/proc/{usf}/status").read_text()
        except OSError:
            status = ""  # it has ended
        self.assertEqual((answer["reply"], answer["lost"]), (ENDED, 1), answer)
        pending = re.search(r"ShdPnd:\s(\w+)", status)
        killed = pending is None or int(pending[1], 16) >> (signal.SIGKILL - 1) & 1
        self.assertTrue(killed or re.search("State:\\s[ZX]", status), status)

    def test_that_lies_is_killed_before_its_end_is_told(self):
        self.vmmd("signal.signal(signal.SIGUSR2, lambda *_: say(READY))\nwhile True: time.sleep(1000)\n")
        self.assert_told_when_killed(self.claimed(), lambda usf: os.kill(usf, signal.SIGUSR2))

    @unittest.skipUnless(os.path.isdir(VERSION_2), "no hierarchy of version 2")
    def test_that_cannot_be_moved_is_killed_before_its_end_is_told(self):
        self.vmmd("while True: time.sleep(1000)\n")
        claim = self.claimed_in_removed()
        self.assert_told_when_killed(claim, lambda _: claim.ask(ENTER))

    @unittest.skipUnless(os.path.isdir(VERSION_2), "no hierarchy of version 2")
    def test_that_cannot_be_moved_ends(self):
        self.vmmd("receive()")
        claim = self.claimed_in_removed()
        claim.ask(ENTER)
        answer = claim.receive()
        self.assertEqual((answer["reply"], answer["lost"]), (ENDED, 1), answer)
        self.assertRegex(answer["text"], "^the pod's cgroup: moving a USF into it: ")


if __name__ == "__main__":
    unittest.main()
