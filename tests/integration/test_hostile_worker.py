"""A worker that was taken over, against the real usetl-vmmd, whose USFs do as they are told."""

import errno
import os
import signal
import unittest

from cgroups import removed
from node import wait_until
from vmmd_case import ENDED, LEAVE, NOTHING, OBEDIENT, RELEASE, RELEASED, VmmdCase

FREEZER, VERSION_2 = "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified"


class Clones(VmmdCase):
    def setUp(self):
        self.vmmd(OBEDIENT)

    def tearDown(self):
        self.assertIsNone(self.daemon.poll())
        self.assertGreaterEqual(self.state()["made"], 1)

    def test_connection_of_a_clone_claims_nothing(self):
        clone = self.clone(self.claimed())
        self.assertEqual(clone.answer(RELEASE), RELEASED)
        clone.claim()
        self.assertEqual(self.receive(clone)["reply"], NOTHING)

    def test_clones_end_with_what_they_were_made_of(self):
        for end in (lambda original: self.assertEqual(original.answer(RELEASE), RELEASED),
                    lambda original: self.assertEqual(original.answer(LEAVE), RELEASED),
                    lambda original: original.socket.close()):
            original = self.claimed()
            clone = self.clone(original)
            end(original)
            self.assertEqual(clone.receive()["reply"], NOTHING)

    def test_clones_of_a_lost_one_end_before_the_next(self):
        original = self.claimed()
        clone = self.clone(original)
        [pid] = [usf["pid"] for usf in self.state()["usfs"] if usf["usf"] == original.usf]
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(original.receive()["reply"], ENDED)
        original.claim()
        self.granted(original)
        self.assertEqual(clone.receive()["reply"], NOTHING)

    def test_leave_of_one_that_was_given_back(self):
        first = self.claimed()
        self.assertEqual(first.answer(RELEASE), RELEASED)
        second = self.claimed()
        self.assertEqual(second.usf, first.usf)
        clone = self.clone(second)
        self.assertEqual(first.answer(LEAVE), RELEASED)
        self.assertEqual(clone.answer(RELEASE), RELEASED)


@unittest.skipUnless(os.path.isdir(VERSION_2), "no hierarchy of version 2")
class Moves(VmmdCase):
    def test_many_times_into_a_cgroup(self):
        self.vmmd(OBEDIENT)
        group = self.group(VERSION_2)
        self.addCleanup(group.rmdir)
        file = os.open(group / "cgroup.procs", os.O_WRONLY)
        self.addCleanup(os.close, file)
        claim = self.connect()
        claim.claim(*[file] * 16)
        self.assertEqual(self.receive(claim)["reply"], NOTHING)


@unittest.skipUnless(os.path.isdir(FREEZER), "no hierarchy that freezes")
class Regions(VmmdCase):
    def test_of_those_that_do_not_end_count(self):
        self.vmmd(OBEDIENT, "--region", "8M", "--regions", "16M")
        group = self.group(FREEZER)
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        self.addCleanup((group / "freezer.state").write_text, "THAWED")
        claims = [self.claimed(), self.claimed()]
        pids = {usf["usf"]: usf["pid"] for usf in self.state()["usfs"]}
        for claim in claims:
            region = claim.files[1]
            os.pwrite(region, bytes(8 << 20), 0)
            os.ftruncate(region, 16 << 20)  # so it is thrown away
            (group / "cgroup.procs").write_text(str(pids[claim.usf]))
        (group / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (group / "freezer.state").read_text() == "FROZEN\n")
        for claim in claims:
            claim.socket.close()
        wait_until(lambda: self.state()["ending"] == 2)
        late = self.connect()
        late.claim(wait_ms=0)
        answer = self.receive(late)
        self.assertEqual(answer["error"], errno.ENOMEM, answer)
        self.assertIn("hold 16 of 16 MB", answer["text"])
        (group / "freezer.state").write_text("THAWED")
        self.claimed()


if __name__ == "__main__":
    unittest.main()
