"""kill -9 of each daemon at each step of a pod's life: what was answered stays true, nothing is left behind."""

import contextlib
import json
import os
import pathlib
import threading
import unittest

from cri import cri
from node import wait_until
from processes import ended
from registry import FakeImage, FakeRegistry, tar
from test_streams import WebSocket
from walk_case import CREATED, EXITED, MANY, RUNNING, Call, WalkCase


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
            self.assertIn(f"container walk: {status.message}", call.error.details())
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


    def test_11_create_in_flight(self):
        pod = self.run_pod()
        calls = self.many("CreateContainer", [self.create_request(pod, attempt) for attempt in range(MANY)])
        wait_until(lambda: len(self.listed()) >= MANY // 4 or all(call.done for call in calls))
        self.kill()
        answered = {call.answer.container_id for call in calls if not call.failed()}
        self.assertLessEqual(answered, self.listed(), "what was answered stays true")
        if self.VICTIM != "usetld":
            self.assertEqual(len(answered), MANY)
        for container in self.listed():
            self.assertEqual(self.status(container).state, CREATED)
            self.client.RemoveContainer(container_id=container)
        for attempt in range(MANY):  # no name is kept of those that came to nothing
            self.create(pod, attempt)
        self.run_container(pod, attempt=MANY)
        self.serves(pod)

    def test_12_remove_in_flight(self):
        pod = self.run_pod()
        running = self.run_container(pod, attempt=MANY)
        containers = [self.create(pod, attempt) for attempt in range(MANY)] + [running]
        calls = self.many("RemoveContainer", [{"container_id": container} for container in containers])
        wait_until(lambda: len(self.listed()) <= MANY // 2 or all(call.done for call in calls))
        self.kill()
        removed = {call.fields["container_id"] for call in calls if not call.failed()}
        self.assertEqual(removed & self.listed(), set(), "what was answered stays true")
        if self.VICTIM != "usetld":
            self.assertEqual(self.listed(), set())
        for container in containers:  # kubelet repeats the call
            self.client.RemoveContainer(container_id=container)
        self.assertEqual(self.listed(), set())
        self.run_container(pod, attempt=MANY)
        self.serves(pod)

    def test_13_exec_stream_is_open(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        stream = WebSocket(self.client.Exec(container_id=container, cmd=["cat"], stdin=True, stdout=True,
                                            stderr=True).url, "v4.channel.k8s.io")
        self.addCleanup(stream.close)
        stream.send(b"\0hello\n")
        while b"hello" not in stream.receive():
            pass
        self.assertEqual(self.daemons.inspect()["claimed"], 2)
        self.kill()
        with contextlib.suppress(ConnectionResetError):
            stream.file.read()  # to its end
        wait_until(lambda: self.daemons.inspect().get("claimed", 0) < 2)
        self.lives_on(pod, container)
        attempts = self.listed()
        serving, = [one for one in attempts if self.status(one).state == RUNNING]
        self.assertEqual(self.client.ExecSync(container_id=serving, cmd=["echo", "again"]).stdout, b"again\n")


class Usetld(Steps):
    VICTIM = "usetld"

    def test_14_exit_meanwhile(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "stubborn.py"])
        info = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])
        self.daemons.kill("usetld")
        self.daemons.kill("usetl-proxy")
        wait_until(lambda: ended(info["workerPid"]))
        self.daemons.start("usetl-proxy")
        self.daemons.start("usetld")
        self.lost(container)

    def test_16_pull_in_flight(self):
        """What has come of the layer need not come again; nothing is left of it once the image is gone."""
        image = FakeImage(tar(("a", os.urandom(1 << 20))))
        layer = image.blobs[image.layers[0]]
        go_on = threading.Event()

        def answer(handler, kind, name) -> bool:
            if name != image.layers[0] or go_on.is_set():
                return False
            handler.reply(200, layer[:len(layer) // 2], length=len(layer))
            go_on.wait(60)
            return True

        registry = FakeRegistry(image, answer)
        self.addCleanup(registry.close)
        self.addCleanup(go_on.set)
        files = self.image_files()
        spec = cri.ImageSpec(image=f"{registry.host}/walk/pulled:1")
        call = Call(self.client.PullImage, image=spec)
        wait_until(lambda: registry.asked(image.layers[0]))
        self.kill()
        self.assertTrue(call.failed())
        self.assertFalse(self.client.ImageStatus(image=spec).HasField("image"))
        go_on.set()
        self.client.PullImage(image=spec)
        self.assertEqual(list(self.client.ImageStatus(image=spec).image.repo_tags), [spec.image])
        self.client.RemoveImage(image=spec)
        wait_until(lambda: self.image_files() == files)

    def test_17_cgroup_is_stored_and_not_made(self):
        pod = self.run_pod()
        container = self.create(pod)
        name = f"usetl-{pod[:16]}"
        made = list(pathlib.Path("/sys/fs/cgroup").glob(f"*{self.daemons.cgroup}/{name}"))
        self.assertNotEqual(made, [])
        self.daemons.kill("usetld")
        for path in made:
            path.rmdir()
        self.daemons.start("usetld")
        self.client.StartContainer(container_id=container)
        self.assertTrue(all(path.is_dir() for path in made))
        self.serves(pod)

    def test_15_everything_killed(self):
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
