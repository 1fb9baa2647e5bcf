"""Cgroups of pods: below the parent that the manifest names, which is made where it is missing."""

import json
import os
import pathlib
import tempfile
import unittest

import grpc
from cgroups import make_cgroup
from cri import Client, container_config, cri
from image_file import add_image
from node import start_daemon
from test_cni import CniCase


class Cgroups(CniCase):
    def hierarchies(self) -> list[pathlib.Path]:
        """Where version 1 has memory and pids; without it, there is one for all."""
        found = [pathlib.Path("/sys/fs/cgroup") / name for name in ("memory", "pids")]
        return found if found[0].is_dir() else [pathlib.Path("/sys/fs/cgroup")]

    def make_parent(self, parent: str) -> list[pathlib.Path]:
        made = make_cgroup(parent)
        for path in made:
            self.addCleanup(path.rmdir)
        return made

    def test_pod_has_one_below_its_parent(self):
        parent = f"/usetl-test-{os.getpid()}"
        parents = self.make_parent(parent)
        resources = cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20)
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent, resources=resources))
        ours = f"{parent}/usetl-{pod[:16]}"
        for path in self.hierarchies():
            self.assertTrue((path / ours[1:]).is_dir())
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        self.assertEqual(info["cgroup"], ours)
        self.stop(pod)
        for path in parents:
            self.assertFalse((path / f"usetl-{pod[:16]}").exists())

    def test_limits_are_changed(self):
        parent = f"/usetl-test-{os.getpid()}"
        self.make_parent(parent)
        old = cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_shares=512)
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent, resources=old))
        self.assertEqual(self.memory_limit(parent, pod), 64 << 20)
        self.client.UpdatePodSandboxResources(
            pod_sandbox_id=pod, overhead=cri.LinuxContainerResources(memory_limit_in_bytes=1 << 20),
            resources=cri.LinuxContainerResources(memory_limit_in_bytes=128 << 20))
        # The pod's cgroup has it for the containers and beside them.
        self.assertEqual(self.memory_limit(parent, pod), 129 << 20)
        self.client.UpdatePodSandboxResources(
            pod_sandbox_id=pod, resources=cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20))
        self.assertEqual(self.memory_limit(parent, pod), 65 << 20)
        with self.assertRaisesRegex(grpc.RpcError, "usetl: cpuset_cpus has to be a list of numbers and ranges"):
            self.client.UpdatePodSandboxResources(
                pod_sandbox_id=pod, resources=cri.LinuxContainerResources(cpuset_cpus="all"))
        self.stop(pod)
        with self.assertRaisesRegex(grpc.RpcError, "is not ready"):
            self.client.UpdatePodSandboxResources(pod_sandbox_id=pod)

    def test_overhead(self):
        parent = f"/usetl-test-{os.getpid()}"
        self.make_parent(parent)
        limits = cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_quota=20_000, cpu_period=50_000)
        overhead = cri.LinuxContainerResources(memory_limit_in_bytes=8 << 20, cpu_quota=10_000, cpu_period=100_000)
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent, resources=limits,
                                                                      overhead=overhead))
        self.assertEqual(self.memory_limit(parent, pod), 72 << 20)
        self.assertEqual(self.quota(parent, pod), 25_000)
        self.stop(pod)
        # No limit stays none.
        pod, _, _ = self.run_pod("b", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent, overhead=overhead))
        self.assertGreater(self.memory_limit(parent, pod), 1 << 40)
        self.assertEqual(self.quota(parent, pod), -1)
        self.stop(pod)

    def quota(self, parent: str, pod: str) -> int:
        ours = pathlib.Path("/sys/fs/cgroup/cpu") / f"{parent[1:]}/usetl-{pod[:16]}"
        if ours.is_dir():
            return int((ours / "cpu.cfs_quota_us").read_text())
        text = (self.hierarchies()[0] / f"{parent[1:]}/usetl-{pod[:16]}/cpu.max").read_text().split()[0]
        return -1 if text == "max" else int(text)

    def memory_limit(self, parent: str, pod: str) -> int:
        ours = self.hierarchies()[0] / f"{parent[1:]}/usetl-{pod[:16]}"
        files = [ours / "memory.limit_in_bytes", ours / "memory.max"]
        text = next(path for path in files if path.exists()).read_text().strip()
        return 1 << 62 if text == "max" else int(text)

    def made(self, parent: str) -> list[bool]:
        return [(path / parent[1:]).is_dir() for path in self.hierarchies()]

    def test_missing_parent_is_made(self):
        top = f"/usetl-test-{os.getpid()}"
        parent = f"{top}/burstable/pod1"
        linux = cri.LinuxPodSandboxConfig(cgroup_parent=parent)
        first, _, _ = self.run_pod("a", linux=linux)
        self.assertTrue(all(self.made(f"{parent}/usetl-{first[:16]}")))
        self.daemon.kill()
        self.daemon.wait()
        self.client.close()
        self.start()
        second, _, _ = self.run_pod("b", linux=linux)
        self.stop(first)
        self.assertTrue(all(self.made(parent)), "another pod is in there")
        self.stop(second)
        self.assertFalse(any(self.made(top)))

    def test_missing_parent_stays_with_what_others_put_there(self):
        top = f"/usetl-test-{os.getpid()}"
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"{top}/pod1"))
        others = self.hierarchies()[0] / top[1:] / "others"
        others.mkdir()
        self.stop(pod)
        self.assertEqual([path.name for path in others.parent.iterdir() if path.is_dir()], ["others"])
        others.rmdir()
        others.parent.rmdir()

    def test_slice_is_made(self):
        name = f"usetltest{os.getpid()}"
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"{name}-pod1.slice"))
        self.assertTrue(all(self.made(f"/{name}.slice/{name}-pod1.slice/usetl-{pod[:16]}")))
        self.stop(pod)
        self.assertFalse(any(self.made(f"/{name}.slice")))

    def test_missing_parent_goes_with_a_pod_that_fails(self):
        top = f"/usetl-test-{os.getpid()}"
        resources = cri.LinuxContainerResources(cpuset_cpus="8000")
        for linux, message in (
                (cri.LinuxPodSandboxConfig(cgroup_parent=f"{top}/pod1", resources=resources), "cpuset"),
                (cri.LinuxPodSandboxConfig(cgroup_parent="/a/../b"), "cgroup_parent has a component")):
            with self.subTest(message), self.assertRaisesRegex(grpc.RpcError, message):
                self.run_pod("a", linux=linux)
        self.configure({"type": "fails"})
        self.script("fails", """[ $CNI_COMMAND = DEL ] || { echo '{"code":7,"msg":"no luck"}'; exit 1; }""")
        with self.assertRaisesRegex(grpc.RpcError, "no luck"):
            self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"{top}/pod1"))
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)
        self.assertFalse(any(self.made(top)))
        self.assert_nothing_left()

    def test_limits_without_a_parent(self):
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(
            resources=cri.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_quota=20_000, cpu_period=100_000)))
        self.assertEqual(self.memory_limit("/usetl", pod), 64 << 20)
        self.assertEqual(self.quota("/usetl", pod), 20_000)
        self.stop(pod)
        self.assertFalse(any(self.made(f"/usetl/usetl-{pod[:16]}")))
        for name, limits in (("b", {"cpu_quota": 30_000}), ("c", {"memory_limit_in_bytes": 64 << 20})):
            pod, _, _ = self.run_pod(name)
            self.assertEqual(self.cgroup(pod), "", "it wants none")
            self.client.UpdatePodSandboxResources(pod_sandbox_id=pod, resources=cri.LinuxContainerResources(**limits))
            self.assertEqual(self.cgroup(pod), f"/usetl/usetl-{pod[:16]}")
            self.assertEqual(self.quota("/usetl", pod), limits.get("cpu_quota", -1))
            self.stop(pod)
            self.assertFalse(any(self.made(f"/usetl/usetl-{pod[:16]}")))

    def test_limits_without_a_parent_that_the_kernel_refuses(self):
        refused = cri.LinuxContainerResources(cpu_quota=500, cpu_period=100_000)  # a millisecond is the least
        with self.assertRaisesRegex(grpc.RpcError, "cpu.*: Invalid argument"):
            self.run_pod("a", linux=cri.LinuxPodSandboxConfig(resources=refused))
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)
        pod, _, _ = self.run_pod("b")
        with self.assertRaisesRegex(grpc.RpcError, "cpu.*: Invalid argument"):
            self.client.UpdatePodSandboxResources(pod_sandbox_id=pod, resources=refused)
        self.assertEqual(self.quota("/usetl", pod), -1)

    def cgroup(self, pod: str) -> str:
        return json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])["cgroup"]

    def test_our_parent_is_shared(self):
        """With another usetld: each removes it when nobody is in there, and makes it when it is gone."""
        limits = cri.LinuxPodSandboxConfig(resources=cri.LinuxContainerResources(cpu_quota=20_000))
        others = [path / f"usetl/other-{os.getpid()}" for path in self.hierarchies()]
        for path in others:
            path.mkdir(parents=True)
        pod, _, _ = self.run_pod("a", linux=limits)
        self.stop(pod)
        for path in others:
            path.rmdir()
        pod, _, _ = self.run_pod("b", linux=limits)
        self.assertEqual(self.quota("/usetl", pod), 20_000)
        self.stop(pod)

    def test_what_is_missing_at_the_start_is_made(self):
        parent = f"/usetl-test-{os.getpid()}/made"
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=parent, resources=cri.LinuxContainerResources(cpu_quota=20_000)))
        self.daemon.kill()
        self.daemon.wait()
        self.client.close()
        for above in (f"{parent}/usetl-{pod[:16]}", parent):
            for path in pathlib.Path("/sys/fs/cgroup").glob(f"*{above}"):
                path.rmdir()
        self.start()
        self.assertEqual(self.quota(parent, pod), 20_000)
        self.stop(pod)
        self.assertFalse(any(self.made(parent)))

    def test_parent_is_a_file(self):
        for parent in ("/cgroup.procs", "/cgroup.procs/below"):
            linux = cri.LinuxPodSandboxConfig(cgroup_parent=parent)
            with self.subTest(parent), self.assertRaises(grpc.RpcError) as raised:
                self.run_pod("a", linux=linux)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertRegex(raised.exception.details(), "usetl: cgroup_parent: .*/cgroup.procs is no directory")
            self.assertEqual(len(self.client.ListPodSandbox().items), 0)

    def test_plugins_are_told_and_find_the_parent(self):
        """What runs beside ADD is the pod's own cgroup."""
        parent = f"/usetl-test-{os.getpid()}"
        seen = self.directory / "seen"
        self.configure({"type": "looks", "capabilities": {"cgroupPath": True}})
        self.script("looks", f"input=$(cat)\n[ $CNI_COMMAND != ADD ] || [ -d {self.hierarchies()[0]}{parent} ] && touch {seen}\n"
                             """printf %s "$input" | /usr/bin/python3.11 -c 'import json,sys; """
                             """print(json.dumps(json.load(sys.stdin).get("prevResult")))'""")
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent))
        self.assertTrue(seen.exists())
        self.stop(pod)


READ_ONLY = """
for at in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do
    mount -o remount,bind,ro $at
done
exec "$@"
"""


class ReadOnly(CniCase):
    """Cgroups that cannot be made, as in a container of Docker."""

    WITHIN = ("unshare", "-m", "--propagation", "unchanged", "sh", "-ec", READ_ONLY, "sh")
    LIMITS = cri.LinuxContainerResources(cpu_quota=20_000, cpu_shares=512)

    def cgroup(self, pod: str) -> str:
        return json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])["cgroup"]

    def test_pods_without_a_parent_go_without(self):
        add_image(self.directory / "images", "localhost/function:1", {"function/main.py": "def handler(e, c): pass\n"},
                  "--config.workingdir", "/function")
        pod, _, _ = self.run_pod("a", linux=cri.LinuxPodSandboxConfig(resources=self.LIMITS))
        self.assertEqual(self.cgroup(pod), "")
        pod, _, _ = self.run_pod("b")
        self.client.CreateContainer(pod_sandbox_id=pod, config=container_config(
            "a", "localhost/function:1", linux=cri.LinuxContainerConfig(resources=self.LIMITS)))
        self.assertEqual(self.cgroup(pod), "")
        with self.assertRaisesRegex(grpc.RpcError, "want a cgroup, and none can be made here") as raised:
            self.client.UpdatePodSandboxResources(pod_sandbox_id=pod, resources=self.LIMITS)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        with self.assertRaisesRegex(grpc.RpcError, "cpuset_cpus and cpuset_mems want a cgroup"):
            self.client.CreateContainer(pod_sandbox_id=pod, config=container_config(
                "b", "localhost/function:1", linux=cri.LinuxContainerConfig(
                    resources=cri.LinuxContainerResources(cpuset_cpus="0"))))

    def test_a_parent_that_is_named_fails(self):
        for parent in (f"/usetl-test-{os.getpid()}", "/"):
            with self.subTest(parent), self.assertRaisesRegex(grpc.RpcError, "Read-only file system"):
                self.run_pod("a", linux=cri.LinuxPodSandboxConfig(cgroup_parent=parent))
            self.assertEqual(len(self.client.ListPodSandbox().items), 0)


class Driver(CniCase):
    OPTIONS = ("--cgroup-driver", "systemd")

    def test_kubelet_is_told(self):
        self.assertEqual(self.client.RuntimeConfig().linux.cgroup_driver, cri.SYSTEMD)
        config = json.loads(self.client.Status(verbose=True).info["config"])
        self.assertEqual(config["cgroupDriver"], "systemd")

    def test_default(self):
        with tempfile.TemporaryDirectory() as directory:
            _, said = self.begin(directory)
            self.assertEqual(said, "ready\n")
            client = Client(f"{directory}/s")
            self.addCleanup(client.close)
            self.assertEqual(client.RuntimeConfig().linux.cgroup_driver, cri.CGROUPFS)

    def test_others(self):
        for word, driver in (("cgroupfs", cri.CGROUPFS), ("auto", None)):
            with self.subTest(word), tempfile.TemporaryDirectory() as directory:
                _, said = self.begin(directory, "--cgroup-driver", word)
                self.assertEqual(said, "ready\n")
                client = Client(f"{directory}/s")
                expected = driver
                if driver is None:
                    expected = cri.SYSTEMD if os.path.isdir("/run/systemd/system") else cri.CGROUPFS
                self.assertEqual(client.RuntimeConfig().linux.cgroup_driver, expected)
                client.close()
        with tempfile.TemporaryDirectory() as directory:
            _, said = self.begin(directory, "--cgroup-driver", "runc")
            self.assertIn('no cgroup driver "runc"; those that there are: cgroupfs, systemd, auto', said)

    def begin(self, directory: str, *options: str):
        return start_daemon(self, "usetld", "--socket", f"{directory}/s", "--state", f"{directory}/state", "--images",
                            f"{directory}/images", "--namespaces", f"{directory}/netns", "--no-network",
                            *options)


if __name__ == "__main__":
    unittest.main()
