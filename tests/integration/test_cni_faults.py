"""Network plugins that fail, hang or are interrupted: pods are undone, and nothing is left behind."""

import contextlib
import os
import pathlib
import threading
import unittest

import grpc
from cri import cri, pod_config
from node import wait_until
from test_cni import CniCase


class Failures(CniCase):
    def test_usetld_killed_while_a_pod_is_attached(self):
        began = self.directory / "began"
        self.configure({"type": "slow"})
        self.script("slow", f"[ $CNI_COMMAND != ADD ] || {{ touch {began}; exec sleep 60; }}")
        config = pod_config("a", str(self.directory))
        caller = threading.Thread(target=lambda: self.assertRaises(
            grpc.RpcError, self.client.RunPodSandbox, config=config, runtime_handler="usetl"))
        caller.start()
        wait_until(began.exists)
        self.assertEqual(len(self.leased()), 1)
        self.daemon.kill()
        self.daemon.wait()
        caller.join()
        self.client.close()
        self.start()
        self.assertEqual(list(self.client.ListPodSandbox().items), [])
        self.assert_nothing_left()

    def test_failing_plugin_leaves_nothing(self):
        self.configure({"type": "fails"})
        self.script("fails", """[ $CNI_COMMAND = DEL ] || { echo '{"code":7,"msg":"no luck"}'; exit 1; }""")
        with self.assertRaisesRegex(grpc.RpcError, r"network plugin fails, ADD: no luck \(code 7\)"):
            self.run_pod("a")
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)
        self.assert_nothing_left()
        self.configure()
        self.run_pod("a")  # its name is free again

    def test_failing_removal_is_repeated(self):
        self.configure({"type": "stuck"})
        self.script("stuck", "[ $CNI_COMMAND = ADD ] || [ -e ${0%/*}/../free ] || exit 9\n"
                             """/usr/bin/python3.11 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)"""
                             """["prevResult"]))'""")
        pod, _, _ = self.run_pod("a")
        with self.assertRaisesRegex(grpc.RpcError, "network plugin stuck, DEL: exit status 9"):
            self.stop(pod)
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=pod).status.state, cri.SANDBOX_NOTREADY)
        self.assertEqual(len(os.listdir(self.directory / "netns")), 1)
        (self.directory / "free").touch()
        self.stop(pod)
        self.assert_nothing_left()

    def test_failed_undoing_leaves_a_pod_to_remove(self):
        self.configure({"type": "fails"})
        self.script("fails", "[ -e ${0%/*}/../free ] || exit 9")
        with self.assertRaisesRegex(grpc.RpcError, "ADD: exit status 9 .*DEL: exit status 9"):
            self.run_pod("a")
        pod, = self.client.ListPodSandbox().items
        self.assertEqual(pod.state, cri.SANDBOX_NOTREADY)
        (self.directory / "free").touch()
        self.client.RemovePodSandbox(pod_sandbox_id=pod.id)
        self.assert_nothing_left()

    def test_no_address_left(self):
        self.configure(subnet="10.77.0.0/30")  # a gateway and one more
        pod, _, _ = self.run_pod("a")
        with self.assertRaisesRegex(grpc.RpcError, "network plugin bridge, ADD: .*no IP addresses available"):
            self.run_pod("b")
        self.stop(pod)
        self.run_pod("b")


class Hangs(CniCase):
    OPTIONS = ("--cni-timeout", "5")  # of the plugins that do not hang as well

    def sleepers(self) -> list[str]:
        """What the plugin started and did not wait for."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if path.read_bytes() == b"sleep\x001234567\0":
                    found.append(path.parent.name)
        return found

    def test_adding(self):
        self.configure({"type": "hangs"})
        self.script("hangs", "[ $CNI_COMMAND = DEL ] || { sleep 1234567 & wait; }")
        with self.assertRaises(grpc.RpcError) as raised:
            self.run_pod("a")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(raised.exception.details(), "network plugin hangs, ADD: took longer than 5000 ms")
        wait_until(lambda: self.sleepers() == [])
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)
        self.assert_nothing_left()
        self.configure()
        self.run_pod("a")

    def test_removing(self):
        self.configure({"type": "hangs"})
        self.script("hangs", "[ $CNI_COMMAND = ADD ] || [ -e ${0%/*}/../free ] || exec sleep 1234567\n"
                             """/usr/bin/python3.11 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)"""
                             """["prevResult"]))'""")
        pod, _, _ = self.run_pod("a")
        for call in (self.client.StopPodSandbox, self.client.RemovePodSandbox):
            with self.assertRaisesRegex(grpc.RpcError, "network plugin hangs, DEL: took longer than 5000 ms"):
                call(pod_sandbox_id=pod)
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=pod).status.state, cri.SANDBOX_NOTREADY)
        (self.directory / "free").touch()
        self.client.RemovePodSandbox(pod_sandbox_id=pod)
        self.assert_nothing_left()

    def repeated(self) -> bool:
        """kubelet repeats the call with the same name, which is taken until all is undone."""
        try:
            self.run_pod("a")
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.ALREADY_EXISTS)
            return False
        return True

    def test_the_client_gives_up(self):
        gate, began = self.directory / "gate", self.directory / "began"
        gate.touch()
        self.configure({"type": "slow"})
        self.script("slow", "input=$(cat)\n"
                            f"[ $CNI_COMMAND != ADD ] || {{ touch {began}; while [ -e {gate} ]; do sleep .02; done; }}\n"
                            "printf %s \"$input\" | /usr/bin/python3.11 -c 'import json,sys; "
                            """print(json.dumps(json.load(sys.stdin).get("prevResult")))'""")
        call = self.client.begin("RunPodSandbox", config=pod_config("a", str(self.directory)), runtime_handler="usetl")
        wait_until(began.exists)
        call.cancel()
        gate.unlink()
        wait_until(lambda: self.leased() == [])
        self.configure()
        wait_until(self.repeated)
        self.assertEqual(len(self.client.ListPodSandbox().items), 1)


if __name__ == "__main__":
    unittest.main()
