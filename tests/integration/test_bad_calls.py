"""Calls of the CRI that are malformed, of what does not exist, out of order, doubled, or given up."""

import concurrent.futures
import random
import threading

import grpc
from cri import cri
from cri_case import EXITED, RUNNING, CriCase
from node import wait_until
from registry import FakeImage, FakeRegistry, tar

Code = grpc.StatusCode
NONE = "0" * 64


class Malformed(CriCase):
    def test_every_method(self):
        noise = random.Random(1)
        with grpc.insecure_channel(f"unix://{self.directory}/usetl.sock") as channel:
            for service in cri.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    call = channel.unary_stream(f"/{service.full_name}/{method.name}")
                    with self.subTest(method.name):
                        with self.assertRaises(grpc.RpcError) as raised:
                            list(call(b"\x0a\xff", timeout=60))
                        self.assertIn(raised.exception.code(), (Code.INTERNAL, Code.UNIMPLEMENTED))
                    if method.server_streaming:
                        continue  # what parses may go on for ever
                    for _ in range(20):
                        try:
                            list(call(noise.randbytes(noise.randrange(1, 200)), timeout=60))
                        except grpc.RpcError as error:
                            self.assertNotEqual(error.code(), Code.DEADLINE_EXCEEDED, method.name)
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary("/runtime.v1.RuntimeService/Nothing")(b"", timeout=60)
            self.assertEqual(raised.exception.code(), Code.UNIMPLEMENTED)
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary("/runtime.v1.RuntimeService/Version")(bytes(17 << 20), timeout=60)
            self.assertEqual(raised.exception.code(), Code.RESOURCE_EXHAUSTED)
        self.assertIsNone(self.usetld.poll())
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)

    def test_names_that_are_paths(self):
        metadata = cri.PodSandboxMetadata(name="../../x\n\0", namespace="default", uid="uid")
        pod = self.run_pod(metadata=metadata)
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=pod).status.metadata.name, "../../x\n\0")


class Ids(CriCase):
    def test_none_of_them_exists(self):
        for call, kind, field in (
                ("PodSandboxStatus", "pod sandbox", "pod_sandbox_id"), ("CreateContainer", "pod sandbox", "pod_sandbox_id"),
                ("PodSandboxStats", "pod sandbox", "pod_sandbox_id"), ("PortForward", "pod sandbox", "pod_sandbox_id"),
                ("UpdatePodSandboxResources", "pod sandbox", "pod_sandbox_id"),
                ("StartContainer", "container", "container_id"), ("ContainerStatus", "container", "container_id"),
                ("ContainerStats", "container", "container_id"), ("ReopenContainerLog", "container", "container_id"),
                ("UpdateContainerResources", "container", "container_id"), ("ExecSync", "container", "container_id"),
                ("Exec", "container", "container_id"), ("Attach", "container", "container_id")):
            for name in (NONE, "", "../x", "%s%n"):
                with self.subTest(call, id=name):
                    more = {"cmd": ["true"]} if call.startswith("Exec") else {}
                    if call in ("Exec", "Attach"):
                        more["stdout"] = True
                    code, message = Code.NOT_FOUND, f'no {kind} "{name}"'
                    if name == "" and call in ("ExecSync", "Exec", "Attach", "PortForward"):  # as others have it
                        code, message = Code.INVALID_ARGUMENT, f"{field} is missing"
                    self.assert_fails(code, f"^{message}$", getattr(self.client, call), **{field: name}, **more)

    def test_what_is_gone_already(self):
        for call, field in (("StopPodSandbox", "pod_sandbox_id"), ("RemovePodSandbox", "pod_sandbox_id"),
                            ("StopContainer", "container_id"), ("RemoveContainer", "container_id")):
            for name in (NONE, ""):
                getattr(self.client, call)(**{field: name})
        self.client.RemoveImage(image=cri.ImageSpec(image="localhost/none"))
        self.assertEqual(len(self.client.ListContainers(filter=cri.ContainerFilter(id=NONE)).containers), 0)
        self.assertEqual(len(self.client.ListPodSandbox(filter=cri.PodSandboxFilter(id=NONE)).items), 0)

    def test_start_of_an_id_that_several_have(self):
        pods = [self.run_pod(f"p{number}") for number in range(17)]  # two of them begin alike
        first = next(pod[0] for pod in pods if sum(other[0] == pod[0] for other in pods) > 1)
        self.assert_fails(Code.NOT_FOUND, "no pod sandbox", self.client.PodSandboxStatus, pod_sandbox_id=first)


class Order(CriCase):
    def test_before_the_start(self):
        pod = self.run_pod()
        container = self.create(pod)
        for call, fields in (("ExecSync", {"cmd": ["true"]}), ("Exec", {"cmd": ["true"], "stdout": True}),
                             ("Attach", {"stdout": True}), ("ReopenContainerLog", {})):
            with self.subTest(call):
                self.assert_fails(Code.FAILED_PRECONDITION, f"{container} (does not run|is not running)",
                                  getattr(self.client, call), container_id=container, **fields)
        self.stop(container, 1)
        self.assertEqual(self.status(container).state, cri.CONTAINER_CREATED)
        self.client.StartContainer(container_id=container)

    def test_after_the_end(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "job.py", "0"])
        self.wait_exited(container)
        self.assert_fails(Code.FAILED_PRECONDITION, "was started before", self.client.StartContainer,
                          container_id=container)
        self.assert_fails(Code.FAILED_PRECONDITION, "does not run", self.client.ReopenContainerLog,
                          container_id=container)
        self.stop(container, 1)
        created = self.create(pod, "late")
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        for message, call, fields in (
                ("is not ready", "StartContainer", {"container_id": created}),
                ("is not ready", "UpdatePodSandboxResources", {"pod_sandbox_id": pod}),
                ("is not ready", "PortForward", {"pod_sandbox_id": pod, "port": [80]})):
            self.assert_fails(Code.FAILED_PRECONDITION, message, getattr(self.client, call), **fields)
        self.assert_fails(Code.FAILED_PRECONDITION, "is not ready", self.create, pod=pod, name="later")

    def test_what_it_needs_is_not_there(self):
        """NOT_FOUND is for the container alone: kubelet would take it for gone."""
        pod = self.run_pod()
        for daemon, message in (("vmmd", "^container vmmd-.: usetl-vmmd: connect .*/vmmd.sock: No such"),
                                ("pods", "^container pods-.: usetl-proxy: connect .*/pods.sock: No such")):
            with self.subTest(daemon):
                socket, hidden = self.directory / f"{daemon}.sock", self.directory / "hidden"
                socket.rename(hidden)
                self.addCleanup(lambda hidden=hidden, socket=socket: hidden.exists() and hidden.rename(socket))
                # Workers that wait are connected to usetl-vmmd already.
                for number in range(10):
                    container = self.create(pod, f"{daemon}-{number}", command=["python3", "job.py", "0"])
                    call = self.client.begin("StartContainer", container_id=container)
                    if call.code() != Code.OK:
                        break
                    self.wait_exited(container)
                hidden.rename(socket)
                self.assertEqual(call.code(), Code.UNAVAILABLE, call.details())
                self.assertRegex(call.details(), message)
                self.assertEqual(self.status(container).reason, "StartError")

    def test_removed_while_it_runs(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        self.client.RemoveContainer(container_id=container)
        self.assert_fails(Code.NOT_FOUND, "no container", self.client.ContainerStatus, container_id=container)
        self.run_container(pod)
        self.client.RemovePodSandbox(pod_sandbox_id=pod)
        self.assertEqual(len(self.client.ListContainers().containers), 0)


class AtOnce(CriCase):
    TIMES = 8

    def codes(self, call, **fields) -> list[grpc.StatusCode]:
        """Of the same call, made several times at once; the answers that were no errors are kept."""
        self.answers = []
        barrier = threading.Barrier(self.TIMES)

        def make(_):
            barrier.wait()
            try:
                self.answers.append(call(**fields))
                return Code.OK
            except grpc.RpcError as error:
                return error.code()

        with concurrent.futures.ThreadPoolExecutor(self.TIMES) as threads:
            return sorted(threads.map(make, range(self.TIMES)), key=lambda code: code.value)

    def test_duplicates(self):
        self.run_pod("other")
        config = self.pod
        config.metadata.name = "same"
        others = self.TIMES - 1
        self.assertEqual(self.codes(self.client.RunPodSandbox, config=config), [Code.OK, *[Code.ALREADY_EXISTS] * others])
        pod = self.answers[0].pod_sandbox_id
        self.assertEqual(self.codes(self.create, pod=pod), [Code.OK, *[Code.ALREADY_EXISTS] * others])
        container = self.answers[0]
        self.assertEqual(self.codes(self.client.StartContainer, container_id=container),
                         [Code.OK, *[Code.FAILED_PRECONDITION] * others])
        self.assertIn("you", self.post(pod, {"name": "you"}))
        everyone = [Code.OK] * self.TIMES
        self.assertEqual(self.codes(self.client.StopContainer, container_id=container, timeout=30), everyone)
        self.assertEqual((self.status(container).state, self.status(container).exit_code), (EXITED, 0))
        self.assertEqual(self.codes(self.client.RemoveContainer, container_id=container), everyone)
        self.assertEqual(self.codes(self.client.StopPodSandbox, pod_sandbox_id=pod), everyone)
        self.assertEqual(self.codes(self.client.RemovePodSandbox, pod_sandbox_id=pod), everyone)

    def test_stop_while_the_pod_is_removed(self):
        for number in range(10):
            pod = self.run_pod(f"race-{number}")
            container = self.create(pod)
            calls = [self.client.begin(call, **{field: of})
                     for call, field, of in (("RemovePodSandbox", "pod_sandbox_id", pod),
                                             ("StopPodSandbox", "pod_sandbox_id", pod),
                                             ("RemoveContainer", "container_id", container),
                                             ("StopContainer", "container_id", container),
                                             ("RemovePodSandbox", "pod_sandbox_id", pod),
                                             ("StopPodSandbox", "pod_sandbox_id", pod))]
            self.assertEqual([(call.code(), call.details()) for call in calls], [(Code.OK, "")] * len(calls))

    def test_start_while_the_pod_is_stopped(self):
        for number in range(10):
            pod = self.run_pod(f"race-{number}")
            container = self.create(pod)
            start = self.client.begin("StartContainer", container_id=container)
            self.client.StopPodSandbox(pod_sandbox_id=pod)
            wait_until(start.done)
            # Whoever came first: nothing runs in a pod that was stopped.
            self.assertNotEqual(self.status(container).state, RUNNING)
            if start.code() != Code.OK:
                self.assertIn(start.code(), (Code.FAILED_PRECONDITION, Code.ABORTED), start.details())


class GivenUp(CriCase):
    def claimed(self) -> int:
        return self.node_state()["claimed"]

    def test_exec(self):
        container = self.run_container(self.run_pod())
        call = self.client.begin("ExecSync", container_id=container, cmd=["sleep", "1000"])
        wait_until(lambda: self.claimed() == 2)
        call.cancel()
        wait_until(lambda: self.claimed() == 1)
        self.assertEqual(self.client.ExecSync(container_id=container, cmd=["true"]).exit_code, 0)

    def test_stop(self):
        container = self.run_container(self.run_pod(), command=["python3", "job.py", "0", "sleep"])
        call = self.client.begin("StopContainer", container_id=container, timeout=1)
        call.cancel()
        self.stop(container, 0)
        self.assertEqual(self.status(container).state, EXITED)

    def test_pull(self):
        hangs, asked = threading.Event(), threading.Event()
        self.addCleanup(hangs.set)

        def answer(_, kind, __):
            if kind == "blobs":
                asked.set()
                hangs.wait(60)
            return False

        server = FakeRegistry(FakeImage(tar(("function/main.py", b"x"))), answer)
        self.addCleanup(server.close)
        call = self.client.begin("PullImage", image=cri.ImageSpec(image=f"{server.host}/a/b:1"))
        self.assertTrue(asked.wait(60))
        call.cancel()
        leases = self.directory / "images/leases"
        wait_until(lambda: list(leases.iterdir()) == [])
        self.assertNotIn(f"{server.host}/a/b:1", [tag for image in self.client.ListImages().images
                                                  for tag in image.repo_tags])
        hangs.set()
        self.client.PullImage(image=cri.ImageSpec(image=f"{server.host}/a/b:1"))
        self.client.RemoveImage(image=cri.ImageSpec(image=f"{server.host}/a/b:1"))
