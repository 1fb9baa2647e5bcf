"""CHECK of network plugins: what a usetld that was started anew says of pods that are there."""

import json
import subprocess
import unittest

from cri import cri
from node import wait_until
from test_cni import CniCase


class Checks(CniCase):
    """What the next usetld finds of pods that are there. They are left alone."""

    OPTIONS = ("--cni-timeout", "600")  # nobody waits for so long
    PASS_ON = """/usr/bin/python3.11 -c 'import json,sys; print(json.dumps(json.load(sys.stdin).get("prevResult")))'"""

    def start_again(self) -> None:
        self.daemon.kill()
        self.daemon.wait()
        self.client.close()
        self.start()

    def info(self, pod: str) -> dict:
        return json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])

    def found(self, pod: str) -> str:
        wait_until(lambda: "networkCheck" in self.info(pod))
        return self.info(pod)["networkCheck"]

    def test_bridge(self):
        pod, _, _ = self.run_pod("a")
        other, _, netns = self.run_pod("b")
        stopped, _, _ = self.run_pod("c")
        self.stop(stopped)
        self.assertNotIn("networkCheck", self.info(pod))
        subprocess.run(["nsenter", f"--net={netns}", "ip", "link", "del", "eth0"], check=True)
        self.start_again()
        self.assertEqual(self.found(pod), "OK")
        self.assertRegex(self.found(other), "network plugin bridge, CHECK: ")
        self.assertNotIn("networkCheck", self.info(stopped))
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=other).status.state, cri.SANDBOX_READY)
        new, _, _ = self.run_pod("d")
        self.assertNotIn("networkCheck", self.info(new))
        self.stop(other)
        self.assertNotIn("networkCheck", self.info(other))

    def test_complaint_of_a_plugin(self):
        self.configure({"type": "complains"})
        self.script("complains", "[ $CNI_COMMAND != CHECK ] || { echo '{\"code\":100,\"msg\":\"no rule\"}'; exit 1; }\n"
                    + self.PASS_ON)
        pod, _, _ = self.run_pod("a")
        self.start_again()
        self.assertEqual(self.found(pod), "network plugin complains, CHECK: no rule (code 100)")

    def test_plugins_that_are_not_asked(self):
        called = self.directory / "called"
        self.script("notes", f"[ $CNI_COMMAND != CHECK ] || echo $CNI_CONTAINERID >>{called}\n{self.PASS_ON}")
        path = self.directory / "conf/10-net.conflist"
        silent = []
        for number, (version, more) in enumerate(2 * (("0.3.1", {}), ("1.0.0", {"disableCheck": True}))):
            self.configure({"type": "notes"})
            path.write_text(json.dumps({**json.loads(path.read_text()), "cniVersion": version, **more}))
            silent.append(self.run_pod(f"a{number}")[0])
        self.configure({"type": "notes"})
        asked = [self.run_pod(f"b{number}")[0] for number in range(4)]
        self.start_again()
        for pod in asked:
            self.assertEqual(self.found(pod), "OK")
        for pod in silent:
            self.assertNotIn("networkCheck", self.info(pod))
        self.assertEqual(sorted(called.read_text().split()), sorted(asked))

    def test_one_that_hangs_is_in_nobodys_way(self):
        began = self.directory / "began"
        self.configure({"type": "hangs"})
        self.script("hangs", f"[ $CNI_COMMAND != CHECK ] || {{ touch {began}; sleep 1234567 & wait; }}\n{self.PASS_ON}")
        pods = [self.run_pod(name)[0] for name in ("a", "b")]
        self.start_again()
        wait_until(began.exists)
        new, _, _ = self.run_pod("c")
        for pod in (*pods, new):
            self.assertNotIn("networkCheck", self.info(pod))
            self.stop(pod)


if __name__ == "__main__":
    unittest.main()
