"""A worker that was taken over, against the real usetl-vmmd, whose USFs do as they are told."""

import os
import signal
import unittest

from vmmd_case import ENDED, LEAVE, NOTHING, OBEDIENT, RELEASE, RELEASED, VmmdCase

VERSION_2 = "/sys/fs/cgroup/unified"


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


if __name__ == "__main__":
    unittest.main()
