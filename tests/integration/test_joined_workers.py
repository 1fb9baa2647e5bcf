"""Workers that have joined a pod before their container is started."""

import json
import os
import pathlib
import signal
import unittest

import processes
from cri import cri
from cri_case import RUNNING, CriCase
from node import wait_until


class JoinedWorkers(CriCase):
    def workers_in(self, pod: str) -> list[int]:
        """Processes that are in the pod's network."""
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        network = pathlib.Path(info["networkNamespace"]).stat().st_ino
        found = []
        for process in processes.descendants(self.node.process.pid):
            try:
                if os.stat(f"/proc/{process}/ns/net").st_ino == network:
                    found.append(process)
            except FileNotFoundError:
                pass  # it has just ended
        return found

    def joined(self, pod: str) -> int:
        wait_until(lambda: len(self.workers_in(pod)) == 1)
        return self.workers_in(pod)[0]

    def answers(self, pod: str) -> None:
        self.assertIn('"hello": "you"', self.post(pod, {"name": "you"}).replace('":"', '": "'))

    def test_the_one_that_has_joined_runs_the_container(self):
        pod = self.run_pod()
        container = self.create(pod)
        worker = self.joined(pod)
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.workers_in(pod), [worker])
        self.answers(pod)

    def test_a_start_does_without_it_when_it_was_killed(self):
        pod = self.run_pod()
        container = self.create(pod)
        worker = self.joined(pod)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not self.workers_in(pod))
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.status(container).state, RUNNING)
        self.answers(pod)

    def test_it_ends_with_its_container_and_its_pod(self):
        pod = self.run_pod()
        container = self.create(pod)
        self.joined(pod)
        self.client.RemoveContainer(container_id=container)
        wait_until(lambda: not self.workers_in(pod))
        self.create(pod, "second")
        worker = self.joined(pod)
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        wait_until(lambda: processes.ended(worker))

    def test_it_ends_with_usetld_and_the_next_one_starts_the_container(self):
        pod = self.run_pod()
        container = self.create(pod)
        worker = self.joined(pod)
        self.kill()
        wait_until(lambda: processes.ended(worker))
        self.start()
        self.client.StartContainer(container_id=container)
        self.answers(pod)

    def test_none_for_directories_that_are_written(self):
        directory = self.directory / "written"
        directory.mkdir()
        mount = cri.Mount(container_path="/data", host_path=str(directory))
        pod = self.run_pod()
        container = self.create(pod, mounts=[mount])
        self.client.StartContainer(container_id=container)
        self.assertEqual(len(self.workers_in(pod)), 2)  # and the service that writes
        self.answers(pod)

    def test_new_limits_are_joined_anew(self):
        pod = self.run_pod()
        container = self.create(pod)
        worker = self.joined(pod)
        self.client.UpdateContainerResources(container_id=container,
                                             linux=cri.LinuxContainerResources(cpu_shares=512))
        wait_until(lambda: processes.ended(worker))
        self.client.StartContainer(container_id=container)
        self.answers(pod)


if __name__ == "__main__":
    unittest.main()
