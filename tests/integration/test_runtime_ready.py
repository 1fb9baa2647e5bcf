"""RuntimeReady follows the daemons that run functions: dead, hung, there again."""

import os
import signal
import unittest

from daemons import Daemons
from node import wait_until


class RuntimeReady(unittest.TestCase):
    def setUp(self):
        self.daemons = Daemons(bridge="usetl-ready")
        self.addCleanup(self.daemons.close)
        self.daemons.start_all()

    def condition(self):
        conditions = {condition.type: condition for condition in self.daemons.client.Status().status.conditions}
        self.assertTrue(conditions["NetworkReady"].status)
        return conditions["RuntimeReady"]

    def ready(self) -> bool:
        return self.condition().status

    def assert_not_ready(self, reason: str, message: str) -> None:
        wait_until(lambda: not self.ready())
        condition = self.condition()
        self.assertEqual(condition.reason, reason)
        self.assertRegex(condition.message, message)

    def test_dead(self):
        self.assertTrue(self.ready())
        for program, reason in (("usetl-vmmd", "VmmdUnreachable"), ("usetl-proxy", "ProxyUnreachable")):
            with self.subTest(program):
                self.daemons.kill(program)
                self.assert_not_ready(reason, f"^{program} is not there: .*; no function can start until it is restarted$")
                self.daemons.start(program)
                wait_until(self.ready)
                self.assertEqual((self.condition().reason, self.condition().message), ("", ""))

    def test_hung(self):
        for program, reason in (("usetl-vmmd", "VmmdUnreachable"), ("usetl-proxy", "ProxyUnreachable")):
            with self.subTest(program):
                wait_until(self.ready)
                daemon = self.daemons.pid(program)
                self.addCleanup(os.kill, daemon, signal.SIGCONT)
                os.kill(daemon, signal.SIGSTOP)
                self.assert_not_ready(reason, f"^{program} does not answer; no function can start until it is restarted$")
                os.kill(daemon, signal.SIGCONT)
                wait_until(self.ready)


if __name__ == "__main__":
    unittest.main()
