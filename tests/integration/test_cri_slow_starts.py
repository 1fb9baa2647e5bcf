"""Starts that take long: stopped, removed, given up. Nothing of them is left running."""

import os
import signal
import unittest

import grpc
from cri import container_config, cri
from cri_case import EXITED, CriCase
from image_file import add_image
from node import wait_until
from processes import children, descendants, ended, name, status_of

Code = grpc.StatusCode
SLOW = "import time\nprint('loading', flush=True)\ntime.sleep(1000)\ndef handler(event, context):\n    pass\n"


class SlowStarts(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_image(cls.directory / "images", "localhost/slow:1", {"function/main.py": SLOW},
                  "--config.workingdir", "/function")

    def setUp(self):
        super().setUp()
        self.pod_id = self.run_pod()

    def claimed(self) -> int:
        return self.node_state()["claimed"]

    def begin(self, loading: bool = True, **fields) -> tuple[str, "grpc.Future"]:
        """A container that is being loaded, and the call that starts it."""
        container = self.client.CreateContainer(pod_sandbox_id=self.pod_id, sandbox_config=self.pod,
                                                config=container_config("slow", "localhost/slow:1")).container_id
        start = self.client.begin("StartContainer", container_id=container, **fields)
        if loading:
            wait_until(lambda: self.claimed() == 1)
        return container, start

    def assert_aborted(self, start: "grpc.Future") -> None:
        wait_until(start.done)
        self.assertEqual(start.code(), Code.ABORTED, start.details())
        self.assertIn("killed while it was loaded", start.details())

    def assert_free(self) -> None:
        """What the start had is the node's again, and the pod can go on."""
        wait_until(lambda: self.claimed() == 0)
        self.assertEqual(os.listdir(self.directory / "state/containers"), [])
        self.run_container(self.pod_id)
        self.assertIn("you", self.post(self.pod_id, {"name": "you"}))

    def end_of(self, container: str) -> tuple:
        status = self.wait_exited(container)
        self.assertGreaterEqual(status.finished_at, status.started_at)
        return status.exit_code, status.reason

    def test_stopped(self):
        container, start = self.begin()
        self.stop(container, 1000)  # a grace is for functions that run
        self.assertEqual(self.status(container).state, EXITED)
        self.assertEqual(self.end_of(container), (137, "Error"))
        self.assert_aborted(start)
        self.assert_free()

    def test_removed(self):
        container, start = self.begin()
        self.client.RemoveContainer(container_id=container)
        self.assert_aborted(start)
        self.assert_fails(Code.NOT_FOUND, "no container", self.client.ContainerStatus, container_id=container)
        self.assert_free()

    def test_pod_stopped(self):
        container, start = self.begin()
        self.client.StopPodSandbox(pod_sandbox_id=self.pod_id)
        self.assertEqual(self.end_of(container), (137, "Error"))
        self.assert_aborted(start)
        wait_until(lambda: self.claimed() == 0)

    def test_stopped_while_it_waits_for_a_usf(self):
        vmmd = next(pid for pid in descendants(self.node.process.pid) if name(pid) == "usetl-vmmd")
        self.addCleanup(os.kill, vmmd, signal.SIGCONT)
        os.kill(vmmd, signal.SIGSTOP)
        container, start = self.begin(loading=False)
        # The worker has the descriptors of its start by then.
        wait_until(lambda: len(os.listdir(self.directory / "state/containers")) == 2)
        self.stop(container, 1000)
        self.assertEqual(self.end_of(container), (137, "Error"))
        self.assert_aborted(start)
        os.kill(vmmd, signal.SIGCONT)
        self.assert_free()

    def hanging_worker(self) -> int:
        """The one that loads stands still, as on a disk that does not answer."""
        proxy = next(pid for pid in descendants(self.node.process.pid) if name(pid) == "usetl-proxy")
        [worker] = [pid for pid in children(proxy) if status_of(pid).get("Uid", "0").split()[0] != "0"]
        os.kill(worker, signal.SIGSTOP)
        return worker

    def test_worker_that_hangs_is_killed(self):
        container, start = self.begin()
        worker = self.hanging_worker()
        self.stop(container, 0)
        self.assertEqual(self.end_of(container), (137, "Error"))
        self.assert_aborted(start)
        wait_until(lambda: ended(worker))
        self.assert_free()

    def test_worker_that_hangs_and_a_client_that_gives_up(self):
        container, start = self.begin()
        worker = self.hanging_worker()
        start.cancel()
        self.assertEqual(self.end_of(container), (128, "StartError"))
        wait_until(lambda: ended(worker))
        self.assert_free()

    def crash(self) -> None:
        """Without a client that gives up before."""
        self.usetld.kill()
        self.usetld.wait()
        self.client.close()
        self.start()

    def cut_off(self, worker: int, end) -> None:
        """A start that the end of usetld cut off, while its worker hangs."""
        self.crash()
        wait_until(lambda: ended(worker))
        end()
        self.assert_free()

    def test_worker_that_hangs_while_usetld_is_killed(self):
        container, _ = self.begin()
        worker = self.hanging_worker()
        def end():
            self.stop(container, 0)
            self.client.RemoveContainer(container_id=container)
        self.cut_off(worker, end)

    def test_worker_that_hangs_while_usetld_is_killed_and_its_pod_goes(self):
        self.begin()
        worker = self.hanging_worker()
        def end():
            self.client.RemovePodSandbox(pod_sandbox_id=self.pod_id)
            self.pod_id = self.run_pod()
        self.cut_off(worker, end)

    def test_usetld_is_killed_while_a_function_loads(self):
        container, _ = self.begin()
        self.crash()
        self.assertEqual(self.status(container).state, cri.CONTAINER_CREATED)
        # Started once more, it is another worker's.
        start = self.client.begin("StartContainer", container_id=container)
        wait_until(lambda: self.claimed() == 1)
        self.stop(container, 0)
        self.assert_aborted(start)
        self.client.RemoveContainer(container_id=container)
        self.assert_free()

    def test_client_gives_up(self):
        container, start = self.begin()
        start.cancel()
        self.assertEqual(self.end_of(container), (128, "StartError"))
        self.assert_free()

    def test_deadline_of_the_client(self):
        container, start = self.begin(loading=False, seconds=1)
        wait_until(start.done)
        self.assertEqual(start.code(), Code.DEADLINE_EXCEEDED)
        self.assertEqual(self.end_of(container), (128, "StartError"))
        self.assert_free()


if __name__ == "__main__":
    unittest.main()
