"""Pods on a real bridge: addresses, traffic, what is given back, and what is left when plugins fail."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import grpc
from cri import Client, cri, pod_config
from node import in_network_namespace, start_daemon

PLUGINS = "/usr/lib/cni"
ECHO = """
import socket
with socket.create_server(("0.0.0.0", 7000)) as server:
    print("listening", flush=True)
    connection, peer = server.accept()
    with connection:
        connection.sendall(connection.recv(100) + peer[0].encode())
"""
CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as connection:
    connection.sendall(b"hello from ")
    print(connection.recv(100).decode())
"""


def enter(namespace: str, code: str, *arguments: str) -> list:
    return ["nsenter", f"--net={namespace}", "/usr/bin/python3.11", "-c", code, *arguments]


class CniCase(unittest.TestCase):
    """usetld alone: pods need no function to be attached. The bridge lies in the tests' own namespace."""

    OPTIONS: tuple[str, ...] = ()
    WITHIN: tuple[str, ...] = ()  # the command that starts usetld

    def setUp(self):
        in_network_namespace()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-cni-"))
        self.addCleanup(shutil.rmtree, self.directory)
        for name in ("conf", "bin", "netns"):
            (self.directory / name).mkdir()
        self.leases = self.directory / "leases/net"
        self.bridge = "usetl0"
        self.addCleanup(subprocess.run, ["ip", "link", "del", self.bridge], capture_output=True, check=False)
        self.configure()
        self.start()

    def start(self):
        self.daemon, said = start_daemon(
            self, "usetld", "--socket", f"{self.directory}/s", "--state", f"{self.directory}/state",
            "--images", f"{self.directory}/images", "--namespaces", f"{self.directory}/netns",
            "--cni-conf", f"{self.directory}/conf", "--cni-bin", f"{self.directory}/bin:{PLUGINS}", *self.OPTIONS,
            within=self.WITHIN)
        self.assertEqual(said, "ready\n")
        self.client = Client(f"{self.directory}/s")
        self.addCleanup(self.remove_all)

    def remove_all(self):
        """Once, by the last usetld that was started."""
        if self.client is None:
            return
        for item in self.client.ListPodSandbox().items:
            self.client.RemovePodSandbox(pod_sandbox_id=item.id)
        self.client.close()
        self.client = None
        self.assert_nothing_left()

    def configure(self, *more: dict, subnet: str = "10.77.0.0/24", name: str = "net") -> None:
        bridge = {"type": "bridge", "bridge": self.bridge, "isGateway": True,
                  "ipam": {"type": "host-local", "subnet": subnet, "dataDir": f"{self.directory}/leases"}}
        config = {"cniVersion": "1.0.0", "name": name, "plugins": [bridge, *more]}
        (self.directory / "conf/10-net.conflist").write_text(json.dumps(config))

    def script(self, name: str, text: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def leased(self) -> list[str]:
        return [path.name for path in self.leases.glob("10.*")]

    def assert_nothing_left(self):
        self.assertEqual(self.leased(), [])
        self.assertEqual(os.listdir(self.directory / "netns"), [])
        self.assertNotIn(str(self.directory / "netns"), pathlib.Path("/proc/self/mountinfo").read_text())
        ports = subprocess.run(["ip", "-o", "link", "show", "type", "veth"], capture_output=True, text=True, check=True)
        self.assertEqual(ports.stdout, "")

    def run_pod(self, name: str, **fields) -> tuple[str, str, str]:
        """Its id, address and network namespace."""
        config = pod_config(name, str(self.directory), **fields)
        pod = self.client.RunPodSandbox(config=config, runtime_handler="usetl").pod_sandbox_id
        status = self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True)
        return pod, status.status.network.ip, json.loads(status.info["info"])["networkNamespace"]

    def stop(self, pod: str) -> None:
        self.client.StopPodSandbox(pod_sandbox_id=pod)


class Network(CniCase):
    def talk(self, server: str, client: str, address: str, port: int) -> str:
        """What a client in one namespace (empty: the tests' own) gets from a server in another."""
        with subprocess.Popen(enter(server, ECHO), stdout=subprocess.PIPE, text=True) as listening:
            killer = threading.Timer(90, listening.kill)
            killer.start()
            self.assertEqual(listening.stdout.readline(), "listening\n")
            command = enter(client, CALL, address, str(port))
            done = subprocess.run(command if client else command[2:], capture_output=True, text=True, check=False,
                                  timeout=90)
            if done.returncode != 0:
                listening.kill()
            killer.cancel()
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_pods_reach_one_another(self):
        network, = [c for c in self.client.Status().status.conditions if c.type == "NetworkReady"]
        self.assertTrue(network.status, network.message)
        first, first_ip, first_netns = self.run_pod("a")
        second, second_ip, second_netns = self.run_pod("b")
        self.assertNotEqual(first_ip, second_ip)
        self.assertEqual(sorted(self.leased()), sorted([first_ip, second_ip]))
        self.assertEqual(self.talk(first_netns, second_netns, first_ip, 7000), f"hello from {second_ip}")
        self.stop(first)
        self.assertEqual(self.leased(), [second_ip])
        self.assertEqual(self.client.PodSandboxStatus(pod_sandbox_id=first).status.network.ip, "")
        self.stop(first)
        self.stop(second)
        self.assert_nothing_left()

    def test_host_port(self):
        self.configure({"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
        ports = [cri.PortMapping(container_port=7000, host_port=7070)]
        pod, _, netns = self.run_pod("a", port_mappings=ports)
        gateway = "10.77.0.1"
        self.assertRegex(self.talk(netns, "", gateway, 7070), "^hello from 10.77.0.")
        self.stop(pod)
        rules = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("7070", rules)

    def test_sample(self):
        sample, = pathlib.Path("manifests/samples/cni").iterdir()
        config = json.loads(sample.read_text())
        config["plugins"][0]["ipam"]["dataDir"] = f"{self.directory}/leases"
        (self.directory / "conf/10-net.conflist").write_text(json.dumps(config))
        self.leases = self.directory / "leases" / config["name"]
        pod, ip, netns = self.run_pod("a", port_mappings=[cri.PortMapping(container_port=7000, host_port=7070)])
        _, other_ip, other_netns = self.run_pod("b")
        self.assertEqual(sorted(self.leased()), sorted([ip, other_ip]))
        self.assertEqual(self.talk(netns, other_netns, ip, 7000), f"hello from {other_ip}")
        self.assertRegex(self.talk(netns, "", "10.188.0.1", 7070), "^hello from 10.188.")
        rules = ["iptables-save", "-t", "nat"]
        self.assertIn("MASQUERADE", subprocess.run(rules, capture_output=True, text=True, check=True).stdout)
        self.stop(pod)
        self.assertNotIn("7070", subprocess.run(rules, capture_output=True, text=True, check=True).stdout)

    def test_configuration_changes_while_a_pod_runs(self):
        pod, address, _ = self.run_pod("a")
        self.configure({"type": "missing"}, subnet="10.88.0.0/24", name="other")
        self.assertEqual(self.leased(), [address])
        self.stop(pod)
        self.assert_nothing_left()


    def test_refused(self):
        for message, fields in (
                ("a port mapping has the port 70000; those that there are: 1 to 65535",
                 {"port_mappings": [cri.PortMapping(container_port=80, host_port=70000)]}),
                ("a port mapping has the port 0; those that there are: 1 to 65535",
                 {"port_mappings": [cri.PortMapping(host_port=80)]}),
                ("the annotation kubernetes.io/ingress-bandwidth is no bandwidth; write 1 to 1P, as 10M",
                 {"annotations": {"kubernetes.io/ingress-bandwidth": "fast"}}),
                ('K8S_POD_NAME: "a;b" is no name for a network plugin; use A-Z, a-z, 0-9, -, _ and .',
                 {"metadata": cri.PodSandboxMetadata(name="a;b", namespace="default", uid="uid")}),
                ("cgroup_parent is neither absolute nor a slice", {"linux": cri.LinuxPodSandboxConfig(cgroup_parent="a")}),
                ("cgroup_parent is empty or too long",
                 {"linux": cri.LinuxPodSandboxConfig(cgroup_parent="/" + 3000 * "a")}),
                ("cgroup_parent holds a NUL", {"linux": cri.LinuxPodSandboxConfig(cgroup_parent="/a\0")}),
                ("cgroup_parent has a component that is no name",
                 {"linux": cri.LinuxPodSandboxConfig(cgroup_parent="/a//b")}),
                ('cgroup_parent: "a--b.slice" is no slice', {"linux": cri.LinuxPodSandboxConfig(cgroup_parent="a--b.slice")})):
            with self.subTest(message), self.assertRaises(grpc.RpcError) as raised:
                self.run_pod("a", **fields)
            self.assertEqual((raised.exception.code(), raised.exception.details()),
                             (grpc.StatusCode.INVALID_ARGUMENT, f"usetl: {message}"))
        self.assertEqual(len(self.client.ListPodSandbox().items), 0)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
