"""Exec, attach and port-forward through usetld alone: what is refused, and a pod's port over WebSocket."""

import base64
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

import grpc
from cri import Client, pod_config
from node import in_network_namespace, start_daemon

ECHO = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
print("listening", flush=True)
connection, _ = listener.accept()
while data := connection.recv(65536):
    connection.sendall(data)
"""


class WebSocket:
    """As a client of v4.channel.k8s.io; messages of at most 125 bytes."""

    def __init__(self, url: str, protocol: str):
        _, host, port, path = re.fullmatch(r"(http)://([0-9.]+):(\d+)(/.*)", url).groups()
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline().decode().strip()
        while self.file.readline().strip():
            pass

    def send(self, message: bytes) -> None:
        mask = os.urandom(4)
        self.socket.sendall(bytes([0x82, 0x80 | len(message)]) + mask
                            + bytes(byte ^ mask[i % 4] for i, byte in enumerate(message)))

    def receive(self) -> bytes:
        head = self.file.read(2)
        return self.file.read(head[1])

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class StreamCase(unittest.TestCase):

    def setUp(self):
        in_network_namespace()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-streams-"))
        self.addCleanup(shutil.rmtree, self.directory)
        _, said = start_daemon(
            self, "usetld", "--socket", f"{self.directory}/s", "--state", f"{self.directory}/state",
            "--images", f"{self.directory}/images", "--namespaces", f"{self.directory}/netns", "--no-network")
        self.assertEqual(said, "ready\n")
        self.client = Client(f"{self.directory}/s")
        self.addCleanup(self.client.close)

    def run_pod(self) -> str:
        pod = self.client.RunPodSandbox(config=pod_config("streams", str(self.directory))).pod_sandbox_id
        self.addCleanup(self.client.RemovePodSandbox, pod_sandbox_id=pod)
        return pod

    def refused(self, code: grpc.StatusCode, verb: str, **fields) -> None:
        with self.assertRaises(grpc.RpcError) as caught:
            getattr(self.client, verb)(**fields)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())

    def test_what_cannot_be_is_refused(self):
        invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        for verb, fields in (("Exec", {"cmd": ["true"]}), ("Attach", {})):
            self.refused(invalid, verb, stdout=True, **fields)
            self.refused(invalid, verb, container_id="none", **fields)
            self.refused(invalid, verb, container_id="none", tty=True, stdout=True, stderr=True, **fields)
            self.refused(missing, verb, container_id="none", stdout=True, **fields)
        self.refused(invalid, "Exec", container_id="none", stdout=True)
        self.refused(invalid, "ExecSync", cmd=["true"])
        self.refused(invalid, "ExecSync", container_id="none")
        self.refused(invalid, "ExecSync", container_id="none", cmd=["true"], timeout=-1)
        self.refused(missing, "ExecSync", container_id="none", cmd=["true"])
        self.refused(invalid, "PortForward")
        self.refused(missing, "PortForward", pod_sandbox_id="none")
        pod = self.run_pod()
        self.refused(invalid, "PortForward", pod_sandbox_id=pod, port=[65536])
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, "PortForward", pod_sandbox_id=pod)

    def test_waiting_requests_are_bounded(self):
        pod = self.run_pod()
        for _ in range(1000):
            self.client.PortForward(pod_sandbox_id=pod)
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "PortForward", pod_sandbox_id=pod)

    def test_a_port_of_the_pod_is_reached(self):
        pod = self.run_pod()
        network, = (self.directory / "netns").iterdir()
        server = subprocess.Popen(["nsenter", f"--net={network}", "/usr/bin/python3.11", "-c", ECHO],
                                  stdout=subprocess.PIPE)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), b"listening\n")
        url = self.client.PortForward(pod_sandbox_id=pod, port=[8080]).url
        client = WebSocket(url, "v4.channel.k8s.io")
        self.addCleanup(client.close)
        self.assertEqual(client.status, "HTTP/1.1 101 Switching Protocols")
        port = struct.pack("<H", 8080)
        self.assertEqual(client.receive(), b"\0" + port)
        self.assertEqual(client.receive(), b"\1" + port)
        client.send(b"\0" + b"through the pod")
        self.assertEqual(client.receive(), b"\0" + b"through the pod")
        again = WebSocket(url, "v4.channel.k8s.io")
        self.addCleanup(again.close)
        self.assertEqual(again.status, "HTTP/1.1 404 Not Found")

    def test_only_loopback_serves_streams(self):
        _, said = start_daemon(
            self, "usetld", "--socket", f"{self.directory}/other", "--state", f"{self.directory}/other-state",
            "--images", f"{self.directory}/other-images", "--no-network", "--streaming-address", "0.0.0.0:0")
        self.assertIn("127.0.0.1:PORT", said)


if __name__ == "__main__":
    unittest.main()
