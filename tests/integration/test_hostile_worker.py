"""A worker that was taken over, against the real usetl-vmmd, whose USFs do as they are told."""

import unittest

from vmmd_case import LEAVE, NOTHING, OBEDIENT, RELEASE, RELEASED, VmmdCase


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


if __name__ == "__main__":
    unittest.main()
