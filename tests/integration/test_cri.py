"""The CRI through the real daemons: pods, containers, images, HTTP, logs, exits, restarts."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest

import grpc
from cgroups import make_cgroup
from cri import Client, cri, pod_config
from cri_case import EXITED, RUNNING, CriCase
from node import start_daemon, wait_until
from processes import ended


class Pods(CriCase):
    def test_version_and_status(self):
        version = self.client.Version()
        self.assertEqual((version.version, version.runtime_name, version.runtime_api_version),
                         ("0.1.0", "usetl", "v1"))
        status = self.client.Status(verbose=True)
        self.assertEqual({c.type: c.status for c in status.status.conditions},
                         {"RuntimeReady": True, "NetworkReady": True})
        self.assertEqual([h.name for h in status.runtime_handlers], ["", "usetl"])
        self.assertIn("version", json.loads(status.info["usetl"]))

    def test_pod_is_echoed(self):
        labels, annotations = {"io.kubernetes.pod.name": "a"}, {"x": "y"}
        first = self.run_pod("a", labels=labels, annotations=annotations)
        second = self.run_pod("b")
        self.assertRegex(first, "^[0-9a-f]{64}$")
        status = self.client.PodSandboxStatus(pod_sandbox_id=first[:13]).status
        self.assertEqual((status.id, status.state), (first, cri.SANDBOX_READY))
        self.assertEqual(status.metadata, self.pod.metadata.__class__(name="a", namespace="default", uid="uid-a"))
        self.assertEqual((dict(status.labels), dict(status.annotations)), (labels, annotations))
        self.assertLess(status.created_at, self.client.PodSandboxStatus(pod_sandbox_id=second).status.created_at)
        selected = self.client.ListPodSandbox(filter=cri.PodSandboxFilter(label_selector=labels)).items
        self.assertEqual([item.id for item in selected], [first])
        self.client.StopPodSandbox(pod_sandbox_id=first)
        self.client.StopPodSandbox(pod_sandbox_id=first)
        ready = cri.PodSandboxStateValue(state=cri.SANDBOX_READY)
        self.assertEqual([item.id for item in self.client.ListPodSandbox(filter=cri.PodSandboxFilter(state=ready)).items],
                         [second])

    def test_lists(self):
        pods = [self.run_pod(name, annotations={"number": name}) for name in "abc"]
        for pod in pods:
            [item] = self.client.ListPodSandbox(filter=cri.PodSandboxFilter(id=pod)).items
            status = self.client.PodSandboxStatus(pod_sandbox_id=pod).status
            self.assertEqual((item.metadata, item.created_at, item.annotations),
                             (status.metadata, status.created_at, status.annotations))
        self.client.StopPodSandbox(pod_sandbox_id=pods[1])
        self.client.RemovePodSandbox(pod_sandbox_id=pods[2])
        states = {item.id: item.state for item in self.client.ListPodSandbox().items}
        self.assertEqual(states, {pods[0]: cri.SANDBOX_READY, pods[1]: cri.SANDBOX_NOTREADY})
        for method in ("ListPodSandbox", "ListContainers"):  # they read their requests by themselves
            with grpc.insecure_channel(f"unix://{self.directory}/usetl.sock") as channel:
                with self.assertRaises(grpc.RpcError) as raised:
                    channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")(b"\x0a\xff", timeout=20)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.INTERNAL)
        self.assertEqual(len(self.client.ListPodSandbox().items), 2)

    def test_name_is_reserved(self):
        pod = self.run_pod()
        self.assert_fails(grpc.StatusCode.ALREADY_EXISTS, "reserve sandbox name", self.client.RunPodSandbox,
                          config=self.pod)
        self.client.RemovePodSandbox(pod_sandbox_id=pod)
        self.run_pod()

    def test_unknown_ids(self):
        self.client.StopPodSandbox(pod_sandbox_id="0" * 64)
        self.client.RemovePodSandbox(pod_sandbox_id="0" * 64)
        self.stop("0" * 64, 1)
        self.client.RemoveContainer(container_id="0" * 64)
        missing = grpc.StatusCode.NOT_FOUND
        self.assert_fails(missing, "no pod sandbox", self.client.PodSandboxStatus, pod_sandbox_id="0" * 64)
        self.assert_fails(missing, "no container", self.client.ContainerStatus, container_id="0" * 64)
        self.assert_fails(missing, "no container", self.client.StartContainer, container_id="")
        self.assert_fails(missing, "no container", self.client.ContainerStats, container_id="0" * 64)

    def test_sysctls_of_the_pods_network(self):
        sysctls = {"net.core.somaxconn": "123", "net/ipv4/tcp_keepalive_time": "77"}
        pod = self.run_pod(linux=cri.LinuxPodSandboxConfig(sysctls=sysctls))
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        files = ["/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/tcp_keepalive_time"]
        there = subprocess.run(["nsenter", f"--net={info['networkNamespace']}", "cat", *files], capture_output=True,
                               text=True, check=True)
        self.assertEqual(there.stdout.split(), ["123", "77"])


class Options(unittest.TestCase):
    def test_network_is_asked_for(self):
        with tempfile.TemporaryDirectory() as directory:
            _, said = start_daemon(self, "usetld", "--socket", f"{directory}/s", "--state", f"{directory}/state",
                                   "--images", f"{directory}/images", "--namespaces", f"{directory}/netns",
                                   "--cni-conf", f"{directory}/none")
            self.assertEqual(said, "ready\n")
            client = Client(f"{directory}/s")
            self.addCleanup(client.close)
            network, = [c for c in client.Status().status.conditions if c.type == "NetworkReady"]
            self.assertEqual((network.status, network.reason), (False, "NetworkPluginNotReady"))
            self.assertRegex(network.message, f"no network configuration: {directory}/none: No such file")
            with self.assertRaisesRegex(grpc.RpcError, "no network configuration"):
                client.RunPodSandbox(config=pod_config("pod", directory))
            self.assertFalse(os.path.exists(f"{directory}/netns"))


class Containers(CriCase):
    def test_runs_in_the_cgroup_of_its_pod(self):
        parent = f"/usetl-test-{os.getpid()}"
        made = make_cgroup(parent)
        for path in made:
            self.addCleanup(path.rmdir)
        pod = self.run_pod(linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent))
        ours = [path / f"usetl-{pod[:16]}" for path in made]
        ours = [path for path in ours if path.is_dir()]
        self.assertGreater(len(ours), 0)
        container = self.run_container(pod)
        for path in ours:
            wait_until(lambda path=path: (path / "cgroup.procs").read_text().strip())
        self.assertRegex(self.post(pod, {"name": "you"}), "you")
        self.stop(container, 0)
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.assertEqual([path for path in ours if path.exists()], [])

    def test_http(self):
        pod = self.run_pod()
        container = self.run_container(pod, envs=[cri.KeyValue(key="MODE", value=b"pod")])
        status = self.status(container)
        self.assertEqual(status.state, RUNNING)
        self.assertGreater(status.started_at, status.created_at)
        self.assertEqual(status.log_path, f"{self.directory}/logs/pod/function.log")
        self.assertEqual(json.loads(self.post(pod, {"name": "bob"})), {"hello": "bob", "mode": "pod", "file": None})
        self.assertEqual(self.call(pod, "-d", "{", "-H", "content-type: application/json", "-o", "/dev/null",
                                   "-w", "%{http_code}"), "400")
        self.assertEqual(self.call(pod, "-d", '{"fail":1}', "-H", "content-type: application/json", "-w", "%{http_code}",
                                   "-o", "/dev/null"), "500")
        self.stop(container, 30)
        status = self.status(container)
        self.assertEqual((status.state, status.exit_code, status.reason), (EXITED, 0, "Completed"))
        self.assertGreaterEqual(status.finished_at, status.started_at)
        log = pathlib.Path(status.log_path).read_text()
        self.assertRegex(log, r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ stdout F called bob$")
        self.assertIn("ValueError: no good", log)

    def test_exec_sync(self):
        container = self.run_container(self.run_pod())

        def run(*command: str, **fields) -> tuple:
            answer = self.client.ExecSync(container_id=container, cmd=command, **fields)
            return answer.exit_code, answer.stdout, answer.stderr

        self.assertEqual(run("sh", "-c", "echo out; echo err >&2; exit 3"), (3, b"out\n", b"err\n"))
        self.assertEqual(run("python3", "-c", "print(6 * 7)", timeout=30), (0, b"42\n", b""))
        code, _, error = run("missing")
        self.assertEqual((code, error), (127, b'exec "missing": there is no such program\n'))
        self.assert_fails(grpc.StatusCode.DEADLINE_EXCEEDED, "did not end within 1000 ms", self.client.ExecSync,
                          container_id=container, cmd=["sleep", "100"], timeout=1)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "cmd is missing", self.client.ExecSync,
                          container_id=container)
        self.stop(container, 0)
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "is not running", self.client.ExecSync,
                          container_id=container, cmd=["true"])

    def test_job(self):
        pod = self.run_pod()
        for code, reason in ((0, "Completed"), (3, "Error")):
            container = self.run_container(pod, f"job{code}", command=["python3", "job.py"], args=[str(code)])
            status = self.wait_exited(container)
            self.assertEqual((status.exit_code, status.reason), (code, reason))
            log = pathlib.Path(status.log_path).read_text()
            self.assertRegex(log, f"(?m)stdout F out {code}$")
            self.assertRegex(log, "(?m)stderr F err$")

    def test_crash_ends_the_container(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        self.post(pod, {"die": 1})
        status = self.wait_exited(container)
        self.assertEqual((status.exit_code, status.reason), (134, "Error"))
        # Another attempt of the same name may run now.
        self.run_container(pod, metadata=cri.ContainerMetadata(name="function", attempt=1))
        self.assertIn("again", self.post(pod, {"name": "again"}))

    def test_start_error(self):
        pod = self.run_pod()
        container = self.create(pod, command=["python3", "missing.py"])
        log = self.directory / "logs/pod/function.log"
        self.assert_fails(grpc.StatusCode.UNKNOWN, f"^container function: .*missing.py.*; its log is {log}$",
                          self.client.StartContainer, container_id=container)
        status = self.status(container)
        self.assertEqual((status.state, status.exit_code, status.reason), (EXITED, 128, "StartError"))

    def test_order_of_calls(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "job.py", "0"])
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "started before", self.client.StartContainer,
                          container_id=container)
        self.assert_fails(grpc.StatusCode.ALREADY_EXISTS, "reserve container name", self.create, pod=pod)
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "not ready", self.create, pod=pod, name="late")

    def test_kill_at_the_end_of_the_grace(self):
        pod = self.run_pod()
        container = self.run_container(pod, command=["python3", "job.py", "0", "sleep"])
        self.stop(container, 0)
        self.assertEqual(self.status(container).exit_code, 137)

    def test_mounts(self):
        source = self.directory / "config"
        (source / "..1").mkdir(parents=True)
        (source / "..1" / "key").write_text("value")
        (source / "..data").symlink_to("..1")
        (source / "key").symlink_to("..data/key")
        pod = self.run_pod()
        mount = cri.Mount(container_path="/etc/config", host_path=str(source), readonly=True)
        container = self.run_container(pod, mounts=[mount])
        self.assertEqual(json.loads(self.post(pod, {"path": "/etc/config/key"}))["file"], "value")
        self.assertEqual(list(self.status(container).mounts), [mount])

    def test_hostname_and_dns(self):
        dns = cri.DNSConfig(servers=["10.0.0.10", "fd00::a"], searches=["a.example", "b.example"], options=["ndots:5"])
        pod = self.run_pod(dns_config=dns)
        container = self.run_container(pod)
        run = self.client.ExecSync
        self.assertEqual(run(container_id=container, cmd=["hostname"]).stdout, b"pod\n")
        self.assertEqual(run(container_id=container, cmd=["cat", "/etc/hostname"]).stdout, b"pod\n")
        text = "search a.example b.example\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5\n"
        self.assertEqual(json.loads(self.post(pod, {"path": "/etc/resolv.conf"}))["file"], text)

    def test_mounts_hide_what_the_pod_says(self):
        source = self.directory / "etc"
        source.mkdir()
        (source / "hostname").write_text("mounted\n")
        pod = self.run_pod(dns_config=cri.DNSConfig(servers=["10.0.0.10"]))
        mount = cri.Mount(container_path="/etc", host_path=str(source), readonly=True)
        container = self.run_container(pod, mounts=[mount])
        run = self.client.ExecSync
        self.assertEqual(run(container_id=container, cmd=["hostname"]).stdout, b"mounted\n")
        self.assertEqual(run(container_id=container, cmd=["ls", "/etc"]).stdout, b"hostname\n")

    def test_user_by_name(self):
        context = cri.LinuxContainerSecurityContext(run_as_username="nobody")
        self.run_container(self.run_pod(), linux=cri.LinuxContainerConfig(security_context=context))

    def test_user_in_the_status(self):
        context = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1234), supplemental_groups=[5, 6],
                                                    run_as_group=cri.Int64Value(value=77))
        linux = cri.LinuxContainerConfig(security_context=context)
        pod = self.run_pod()
        container = self.create(pod, linux=linux)
        user = cri.LinuxContainerUser(uid=1234, gid=77, supplemental_groups=[5, 6])
        self.assertEqual(self.status(container).user.linux, user)
        other = self.create(pod, "root")
        self.assertTrue(self.status(other).user.HasField("linux"))
        self.assertEqual(self.status(other).user.linux, cri.LinuxContainerUser())
        self.kill()
        self.start()
        self.assertEqual(self.status(container).user.linux, user)

    def test_oom_score(self):
        def score(process: int) -> int:
            return int(pathlib.Path(f"/proc/{process}/oom_score_adj").read_text())

        def limits(value: int) -> "cri.LinuxContainerConfig":
            return cri.LinuxContainerConfig(resources=cri.LinuxContainerResources(oom_score_adj=value))

        pod = self.run_pod()
        container = self.run_container(pod, linux=limits(500))
        info = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])
        self.assertEqual((score(info["usfPid"]), score(info["workerPid"])), (500, 500))
        seen = self.client.ExecSync(container_id=container, cmd=["true"])
        self.assertEqual(seen.exit_code, 0)
        self.stop(container, 0)
        wait_until(lambda: self.node_state()["rolling"] + self.node_state()["claimed"] == 0)
        for usf in self.node_state()["usfs"]:
            self.assertEqual(score(usf["pid"]), score(self.node.process.pid))
        # To lower it wants CAP_SYS_RESOURCE; the container runs without, too.
        container = self.run_container(pod, "protected", linux=limits(-5))
        info = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])
        self.assertIn(score(info["usfPid"]), (-5, score(self.node.process.pid)))

    def test_log_is_reopened(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        log = pathlib.Path(self.status(container).log_path)
        log.rename(f"{log}.1")
        self.client.ReopenContainerLog(container_id=container)
        self.post(pod, {"name": "later"})
        wait_until(lambda: "called later" in log.read_text())  # a thread writes it

    def test_stats(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        first = self.client.ContainerStats(container_id=container).stats
        self.post(pod, {"name": "x"})
        [second] = self.client.ListContainerStats(filter=cri.ContainerStatsFilter(id=container)).stats
        self.assertGreater(second.cpu.timestamp, first.cpu.timestamp)
        self.assertGreater(second.cpu.usage_core_nano_seconds.value, first.cpu.usage_core_nano_seconds.value)
        self.assertGreater(second.memory.working_set_bytes.value, 1 << 20)
        stats = self.client.PodSandboxStats(pod_sandbox_id=pod).stats
        self.assertEqual([c.attributes.id for c in stats.linux.containers], [container])

    def test_events(self):
        stream = self.client.GetContainerEvents()
        types = {cri.CONTAINER_CREATED_EVENT: "created", cri.CONTAINER_STARTED_EVENT: "started",
                 cri.CONTAINER_STOPPED_EVENT: "stopped", cri.CONTAINER_DELETED_EVENT: "deleted"}
        # The stream has no history, and its begin is not answered: send until it is seen to listen.
        seen = []
        listener = threading.Thread(target=lambda: seen.extend(_until_one_has_gone(stream)), daemon=True)
        listener.start()
        wait_until(lambda: self._pod_comes_and_goes() or not listener.is_alive())
        self.assertEqual([types[event.container_event_type] for event in seen[-2:]], ["stopped", "deleted"])
        self.assertEqual(seen[-1].container_id, seen[-1].pod_sandbox_status.id)

    def _pod_comes_and_goes(self) -> None:
        pod = self.run_pod("event")
        self.client.RemovePodSandbox(pod_sandbox_id=pod)


def _until_one_has_gone(stream):
    """Stopped and deleted: the first event that is seen may be the last of a pod."""
    stopped = set()
    for event in stream:
        yield event
        if event.container_event_type == cri.CONTAINER_STOPPED_EVENT:
            stopped.add(event.container_id)
        if event.container_event_type == cri.CONTAINER_DELETED_EVENT and event.container_id in stopped:
            stream.cancel()
            return


class Images(CriCase):
    def test_images(self):
        [image] = self.client.ListImages().images
        self.assertEqual(list(image.repo_tags), ["localhost/function:1"])
        self.assertGreater(image.size, 0)
        for name in ("localhost/function:1", image.id, image.id[7:20]):
            status = self.client.ImageStatus(image=cri.ImageSpec(image=name), verbose=True)
            self.assertEqual(status.image.id, image.id)
        self.assertIn("imageSpec", json.loads(status.info["info"]))
        self.assertFalse(self.client.ImageStatus(image=cri.ImageSpec(image="localhost/none")).HasField("image"))
        self.client.RemoveImage(image=cri.ImageSpec(image="localhost/none"))
        [usage] = self.client.ImageFsInfo().image_filesystems
        self.assertGreater(usage.used_bytes.value, 0)
        self.assert_fails(grpc.StatusCode.UNAVAILABLE, "127.0.0.1:9", self.client.PullImage,
                          image=cri.ImageSpec(image="127.0.0.1:9/none:1"))


class Restart(CriCase):
    def test_pods_outlive_usetld(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        job = self.run_container(pod, "job", command=["python3", "job.py", "7", "sleep"])
        before = self.status(container)
        self.kill()
        self.start()
        self.assertEqual(self.status(container), before)
        self.assertEqual(json.loads(self.post(pod, {"name": "still"}))["hello"], "still")
        wait_until(lambda: "called still" in pathlib.Path(before.log_path).read_text())  # a thread writes it
        self.stop(job, 0)
        self.assertEqual(self.status(job).exit_code, 137)
        self.assert_fails(grpc.StatusCode.ALREADY_EXISTS, "reserve", self.client.RunPodSandbox, config=self.pod)

    def test_exits_are_not_missed(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        worker = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])["workerPid"]
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        self.kill()
        subprocess.run(["nsenter", f"--net={info['networkNamespace']}", "curl", "-s", "-m", "60", "-d", '{"die":1}',
                        "-H", "content-type: application/json", "http://127.0.0.1:8080/"], check=False,
                       capture_output=True)
        wait_until(lambda: ended(worker))
        self.start()
        status = self.status(container)
        self.assertEqual((status.state, status.exit_code, status.reason), (EXITED, 134, "Error"))

    def test_worker_is_killed(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        info = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])
        os.kill(info["workerPid"], signal.SIGKILL)
        status = self.wait_exited(container)
        self.assertEqual((status.exit_code, status.reason), (255, "Unknown"))
