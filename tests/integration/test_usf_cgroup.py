"""USFs in the cgroups of pods: in while a container runs, out before it is said to have ended, used again."""

import json
import os
import pathlib
import re
import threading
import unittest

import grpc
from cgroups import make_cgroup
from cri import cri
from cri_case import CriCase
from node import wait_until

AT = pathlib.Path("/sys/fs/cgroup")
USF_ENTERS = ("cpu", "cpuacct", "cpuset", "pids")
PERIOD, QUOTA = 100_000, 20_000  # us


@unittest.skipUnless((AT / "cpu").is_dir(), "no hierarchy of version 1")
class UsfCgroup(CriCase):
    def setUp(self):
        super().setUp()
        self.parent = f"usetl-test-{os.getpid()}"
        self.made = make_cgroup(self.parent)
        self.addCleanup(self.remove_cgroups)
        self.wait_for_rollbacks()  # the same USF comes next then

    def wait_for_rollbacks(self):
        wait_until(lambda: self.node_state()["rolling"] + self.node_state()["claimed"] == 0)

    def remove_cgroups(self):
        self.remove_all()
        for path in self.made:
            path.rmdir()

    def pod_below(self, name: str = "pod") -> str:
        return self.run_pod(name, linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"/{self.parent}"))

    def cgroup(self, pod: str, hierarchy: str = "cpu") -> pathlib.Path:
        return AT / hierarchy / self.parent / f"usetl-{pod[:16]}"

    def own(self, pod: str, container: str) -> pathlib.Path:
        return self.cgroup(pod) / f"usetl-{container[:16]}"

    def usf(self, container: str) -> int:
        return json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])["usfPid"]

    @staticmethod
    def programs(cgroup: pathlib.Path) -> list[str]:
        found = []
        for process in (cgroup / "cgroup.procs").read_text().split():
            try:
                found.append(pathlib.Path(os.readlink(f"/proc/{process}/exe")).name)
            except OSError:
                pass  # it has just ended
        return sorted(found)

    @staticmethod
    def processes(cgroup: pathlib.Path) -> list[int]:
        return [int(process) for process in (cgroup / "cgroup.procs").read_text().split()]

    def spin(self, pod: str, **limits) -> str:
        resources = cri.LinuxContainerResources(**limits)
        return self.run_container(pod, command=["python3", "spin.py"],
                                  linux=cri.LinuxContainerConfig(resources=resources))

    def throttled(self, cgroup: pathlib.Path) -> int:
        return int(re.search(r"nr_throttled (\d+)", (cgroup / "cpu.stat").read_text())[1])

    def test_in_then_out_then_used_again(self):
        usfs = []
        for name in ("first", "second", "third"):
            pod = self.pod_below(name)
            container = self.run_container(pod)
            usf = self.usf(container)
            for hierarchy in USF_ENTERS:
                wait_until(lambda at=self.cgroup(pod, hierarchy): self.programs(at) == ["usetl-proxy", "usetl-usf"])
            self.assertIn(usf, self.processes(self.cgroup(pod)))
            self.assertEqual(self.programs(self.cgroup(pod, "memory")), ["usetl-proxy"])
            self.assertRegex(self.post(pod, {"name": "you"}), "you")
            self.stop(container, 0)
            for hierarchy in USF_ENTERS:
                self.assertNotIn(usf, self.processes(self.cgroup(pod, hierarchy)))
            self.assertNotIn(self.parent, pathlib.Path(f"/proc/{usf}/cgroup").read_text())
            self.client.StopPodSandbox(pod_sandbox_id=pod)
            self.assertFalse(self.cgroup(pod).exists())
            self.wait_for_rollbacks()
            usfs.append(usf)
        self.assertEqual(len(set(usfs)), 1, usfs)

    def test_keeps_no_way_out(self):
        pod = self.pod_below()
        first = self.run_container(pod)
        usf = self.usf(first)
        self.stop(first, 0)
        self.wait_for_rollbacks()
        second = self.run_container(pod, "again")
        self.assertEqual(self.usf(second), usf)
        wait_until(lambda: usf in self.processes(self.cgroup(pod)))
        self.assertRegex(self.post(pod, {"name": "you"}), "you")  # so the order to enter is behind it
        held = [os.readlink(f"/proc/{usf}/fd/{number}") for number in os.listdir(f"/proc/{usf}/fd")]
        self.assertEqual([path for path in held if "tasks" in path or "cgroup" in path], [])

    def test_programs_of_exec_enter_and_are_gone_with_the_container(self):
        pod = self.pod_below()
        container = self.run_container(pod)

        def program():
            with self.assertRaises(grpc.RpcError):
                self.client.ExecSync(container_id=container, cmd=["sleep", "100"])

        thread = threading.Thread(target=program)
        thread.start()
        wait_until(lambda: self.programs(self.cgroup(pod)) == ["usetl-proxy", "usetl-usf", "usetl-usf"])
        self.stop(container, 0)
        self.assertNotIn("usetl-usf", self.programs(self.cgroup(pod)))
        thread.join()

    def test_limits_of_a_container(self):
        pod = self.pod_below()
        container = self.spin(pod, cpu_period=PERIOD, cpu_quota=QUOTA, cpu_shares=512)
        own = self.own(pod, container)
        self.assertEqual([(own / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.shares")],
                         [f"{QUOTA}\n", "512\n"])
        wait_until(lambda: self.programs(own) == ["usetl-proxy", "usetl-usf"])
        self.assertEqual(self.programs(self.cgroup(pod)), [])
        wait_until(lambda: self.throttled(own) > 0)
        self.client.UpdateContainerResources(
            container_id=container, linux=cri.LinuxContainerResources(cpu_period=PERIOD, cpu_quota=2 * QUOTA))
        self.assertEqual((own / "cpu.cfs_quota_us").read_text(), f"{2 * QUOTA}\n")
        metrics = self.client.ListPodSandboxMetrics().pod_metrics[0].container_metrics[0].metrics
        counted = {metric.name: metric.value.value for metric in metrics if metric.name.startswith("container_cpu_cfs")}
        self.assertGreater(counted["container_cpu_cfs_throttled_periods_total"], 0)
        self.stop(container, 0)
        self.client.RemoveContainer(container_id=container)
        self.assertFalse(own.exists())
        self.assertTrue(self.cgroup(pod).exists())

    def test_limits_of_a_container_whose_pod_names_no_parent(self):
        pod = self.run_pod()
        free = self.run_container(pod, "free")
        container = self.spin(pod, cpu_period=PERIOD, cpu_quota=QUOTA, cpuset_cpus=str(min(os.sched_getaffinity(0))))
        pods = AT / "cpu/usetl" / f"usetl-{pod[:16]}"
        own = pods / f"usetl-{container[:16]}"
        self.assertEqual((own / "cpu.cfs_quota_us").read_text(), f"{QUOTA}\n")
        wait_until(lambda: self.programs(own) == ["usetl-proxy", "usetl-usf"])
        self.assertNotIn("/usetl", pathlib.Path(f"/proc/{self.usf(free)}/cgroup").read_text())
        self.assertRegex(self.post(pod, {"name": "you"}), "you")
        self.kill()
        self.start()
        self.stop(container, 0)
        self.client.RemoveContainer(container_id=container)
        self.assertFalse(own.exists())
        for limits in ({"cpu_quota": QUOTA}, {"memory_limit_in_bytes": 64 << 20}):
            self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "usetl: .* a container of this one was started before",
                              self.client.UpdatePodSandboxResources, pod_sandbox_id=pod,
                              resources=cri.LinuxContainerResources(**limits))
        self.client.UpdatePodSandboxResources(pod_sandbox_id=pod)
        self.stop(free, 0)
        self.client.UpdatePodSandboxResources(pod_sandbox_id=pod,
                                              resources=cri.LinuxContainerResources(cpu_quota=QUOTA))
        self.assertEqual((pods / "cpu.cfs_quota_us").read_text(), f"{QUOTA}\n")
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.assertEqual(list(AT.glob(f"*/usetl/usetl-{pod[:16]}")), [])

    def test_pod_whose_containers_run_outside(self):
        pod = self.run_pod()
        self.run_container(pod)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "usetl: .* a container of this one was started before",
                          self.client.UpdatePodSandboxResources, pod_sandbox_id=pod,
                          resources=cri.LinuxContainerResources(cpu_quota=QUOTA))
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        self.assertEqual(info["cgroup"], "")

    def test_container_that_is_refused_gives_the_pod_no_cgroup(self):
        pod = self.run_pod()
        linux = cri.LinuxContainerConfig(resources=cri.LinuxContainerResources(cpu_shares=512))
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, 'the command "sh" is not supported', self.create, pod=pod,
                          command=["sh"], linux=linux)
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        self.assertEqual(info["cgroup"], "")

    def test_cgroup_that_is_gone_is_made_again(self):
        pod = self.pod_below()
        for path in AT.glob(f"*/{self.parent}/usetl-{pod[:16]}"):
            path.rmdir()
        container = self.spin(pod, cpu_period=PERIOD, cpu_quota=QUOTA)
        wait_until(lambda: self.programs(self.own(pod, container)) == ["usetl-proxy", "usetl-usf"])

    def test_cpuset_of_a_container(self):
        pod = self.pod_below()
        processors = sorted(os.sched_getaffinity(0))
        first, last = processors[0], processors[-1]
        container = self.spin(pod, cpuset_cpus=str(first))
        own = self.cgroup(pod, "cpuset") / f"usetl-{container[:16]}"
        self.assertEqual((own / "cpuset.cpus").read_text(), f"{first}\n")
        wait_until(lambda: self.programs(own) == ["usetl-proxy", "usetl-usf"])
        self.assertEqual(os.sched_getaffinity(self.usf(container)), {first})
        self.client.UpdateContainerResources(container_id=container,
                                             linux=cri.LinuxContainerResources(cpuset_cpus=f"{last}-{last}"))
        self.assertEqual(os.sched_getaffinity(self.usf(container)), {last})
        self.stop(container, 0)
        self.client.RemoveContainer(container_id=container)
        self.assertFalse(own.exists())
        # One that the pod does not have.
        container = self.create(pod, linux=cri.LinuxContainerConfig(
            resources=cri.LinuxContainerResources(cpuset_cpus="8000")))
        with self.assertRaisesRegex(grpc.RpcError, "cpuset.cpus"):
            self.client.StartContainer(container_id=container)

    def test_cpuset_for_one_that_runs_without(self):
        container = self.spin(self.pod_below())
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "or without a cpuset, cannot get some while it runs",
                          self.client.UpdateContainerResources, container_id=container,
                          linux=cri.LinuxContainerResources(cpuset_mems="0"))

    def test_limits_of_the_pod_hold_for_its_function(self):
        pod = self.pod_below()
        (self.cgroup(pod) / "cpu.cfs_quota_us").write_text(str(QUOTA))
        container = self.spin(pod)
        wait_until(lambda: self.usf(container) in self.processes(self.cgroup(pod)))
        wait_until(lambda: self.throttled(self.cgroup(pod)) > 0)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "started without limits of the processor",
                          self.client.UpdateContainerResources, container_id=container,
                          linux=cri.LinuxContainerResources(cpu_quota=QUOTA))

    def test_usetld_killed_meanwhile(self):
        pod = self.pod_below()
        container = self.spin(pod, cpu_quota=QUOTA)
        usf = self.usf(container)
        wait_until(lambda: usf in self.processes(self.own(pod, container)))
        self.kill()
        self.start()
        self.assertIn(usf, self.processes(self.own(pod, container)))
        self.client.RemovePodSandbox(pod_sandbox_id=pod)
        self.assertFalse(self.cgroup(pod).exists())
        self.assertNotIn(self.parent, pathlib.Path(f"/proc/{usf}/cgroup").read_text())


if __name__ == "__main__":
    unittest.main()
