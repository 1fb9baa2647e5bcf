"""kill -9 of each daemon at each step of a pod's life: what was answered stays true, nothing is left behind."""

import json
import unittest

from cri import cri
from node import wait_until
from processes import ended
from walk_case import CREATED, EXITED, RUNNING, Call, WalkCase


class Steps(WalkCase):
    def test_01_run_pod_in_flight(self):
        self.close_gate("ADD")
        call = Call(self.client.RunPodSandbox, config=self.config, runtime_handler="usetl")
        self.began()
        self.kill()
        if self.VICTIM == "usetld":
            self.assertTrue(call.failed())
            self.assertEqual(list(self.client.ListPodSandbox().items), [])
            self.holds_nothing()
            pod = self.run_pod()  # kubelet repeats the call under the same name
        else:
            self.assertFalse(call.failed(), call.error)
            pod = call.answer.pod_sandbox_id
        self.run_container(pod)
        self.serves(pod)

    def test_02_pod_runs(self):
        pod = self.run_pod()
        before = self.client.PodSandboxStatus(pod_sandbox_id=pod).status
        self.kill()
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=pod).status, before)
        self.run_container(pod)
        self.serves(pod)

    def test_03_container_created(self):
        pod = self.run_pod()
        container = self.create(pod)
        before = self.status(container)
        self.kill()
        self.assertEqual(self.status(container), before)
        self.client.StartContainer(container_id=container)
        self.serves(pod)

    def test_04_start_in_flight(self):
        pod = self.run_pod()
        container = self.create(pod)
        self.slow("yes")
        call = Call(self.client.StartContainer, container_id=container)
        self.logged("loading")
        self.kill()
        self.slow("no")
        self.assertTrue(call.failed())
        status = self.status(container)
        if self.VICTIM == "usetld":
            self.assertEqual(status.state, CREATED)  # nobody was told otherwise
            self.client.StartContainer(container_id=container)
        else:
            self.assertEqual((status.state, status.exit_code, status.reason), (EXITED, 128, "StartError"))
            self.assertEqual(status.message, call.error.details())
            self.run_container(pod, attempt=1)
        self.serves(pod)

    def test_05_container_runs(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        before = self.status(container)
        self.kill()
        if self.VICTIM == "usetld":
            self.assertEqual(self.status(container), before)
        self.lives_on(pod, container)

    def test_06_request_in_flight(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        # Who is killed with it never answers, however long that takes.
        request = self.curl(pod, {"name": "slow", "sleep": 0.5 if self.VICTIM == "usetld" else 60})
        self.logged("serving")
        self.kill()
        answer = request.communicate()[0]
        if self.VICTIM == "usetld":
            self.assertEqual(answer, '{"hello":"slow"}')
        else:
            self.assertNotIn("hello", answer)
        self.lives_on(pod, container)

    def test_07_exec_in_flight(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        call = Call(self.client.ExecSync, container_id=container, cmd=["sleep", "100"])
        wait_until(lambda: self.daemons.inspect()["claimed"] == 2)
        self.kill()
        self.assertTrue(call.failed() or call.answer.exit_code != 0, call.answer)
        self.lives_on(pod, container)

    def test_08_stop_container_in_flight(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "stubborn.py"])
        self.logged("loading")
        call = Call(self.client.StopContainer, container_id=container, timeout=30)
        self.logged("asked to stop")
        self.kill()
        if self.VICTIM == "usetld":
            self.assertTrue(call.failed())
            self.assertEqual(self.status(container).state, RUNNING)
            self.client.StopContainer(container_id=container, timeout=0)
            self.assertEqual(self.status(container).exit_code, 137)
        else:
            self.assertFalse(call.failed(), call.error)
            self.lost(container)

    def end_in_flight(self, verb: str) -> None:
        pod = self.run_pod()
        container = self.run_container(pod)
        self.close_gate("DEL")
        call = Call(getattr(self.client, verb), pod_sandbox_id=pod)
        self.began()
        self.kill()
        if self.VICTIM == "usetld":
            self.assertTrue(call.failed())
            self.assertEqual([item.id for item in self.client.ListPodSandbox().items], [pod])
            getattr(self.client, verb)(pod_sandbox_id=pod)
        else:
            self.assertFalse(call.failed(), call.error)
        if verb == "StopPodSandbox":
            status = self.client.PodSandboxStatus(pod_sandbox_id=pod).status
            self.assertEqual((status.state, status.network.ip), (cri.SANDBOX_NOTREADY, ""))
            self.assertEqual((self.status(container).state, self.status(container).exit_code), (EXITED, 137))
        else:
            self.assertEqual(list(self.client.ListPodSandbox().items), [])

    def test_09_stop_pod_in_flight(self):
        self.end_in_flight("StopPodSandbox")

    def test_10_remove_pod_in_flight(self):
        self.end_in_flight("RemovePodSandbox")


class Usetld(Steps):
    VICTIM = "usetld"

    def test_11_exit_meanwhile(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "stubborn.py"])
        info = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])
        self.daemons.kill("usetld")
        self.daemons.kill("usetl-proxy")
        wait_until(lambda: ended(info["workerPid"]))
        self.daemons.start("usetl-proxy")
        self.daemons.start("usetld")
        self.lost(container)

    def test_12_everything_killed(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        for program in list(self.daemons.running):
            self.daemons.kill(program)
        self.daemons.start_all()
        self.lost(container)
        self.run_container(pod, attempt=1)
        self.serves(pod)


class Vmmd(Steps):
    VICTIM = "usetl-vmmd"


class Proxy(Steps):
    VICTIM = "usetl-proxy"


if __name__ == "__main__":
    unittest.main()
