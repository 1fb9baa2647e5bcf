"""What kubelet asks of a running container: HTTP, TCP and exec probes; and how long a request may take."""

import json
import pathlib
import re
import subprocess
import threading

import grpc
from cri_case import CriCase
from node import wait_until

APP = """
import os, time
print("imported", flush=True)
if "SLOW" in os.environ:
    time.sleep(3600)
def handler(event, context):
    if event.get("hang"):
        time.sleep(3600)
    return {"ok": True}
"""
# A dial of the pod's port, as kubelet does it: whether somebody listens.
DIAL = "import socket, sys; sys.exit(socket.socket().connect_ex(('127.0.0.1', 8080)))"


class Probes(CriCase):
    FILES = {"function/main.py": APP}

    def prepare(self, **fields) -> tuple[str, str]:
        pod = self.run_pod(**fields)
        return pod, self.create(pod)

    def inside(self, pod: str, *command: str) -> subprocess.CompletedProcess:
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        return subprocess.run(["nsenter", f"--net={info['networkNamespace']}", *command], capture_output=True, text=True)

    def listens(self, pod: str) -> bool:
        return self.inside(pod, "/usr/bin/python3.11", "-c", DIAL).returncode == 0

    def http(self, pod: str, *options: str) -> str:
        return self.inside(pod, "curl", "-s", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", *options,
                           "http://127.0.0.1:8080/healthz").stdout

    def test_probes(self):
        pod, container = self.prepare()
        self.assertFalse(self.listens(pod))
        self.client.StartContainer(container_id=container)
        self.assertTrue(self.listens(pod))
        self.assertEqual(self.http(pod, "-A", "kube-probe/1.34"), "200")
        done = self.client.ExecSync(container_id=container, cmd=["python3", "-c", "import os; print(os.getcwd())"],
                                    timeout=60)
        self.assertEqual((done.exit_code, done.stdout), (0, b"/function\n"))
        done = self.client.ExecSync(container_id=container, cmd=["sh", "-c", "test -e /missing"], timeout=60)
        self.assertEqual(done.exit_code, 1)
        self.stop(container, 10)
        self.assertFalse(self.listens(pod))

    def test_nobody_listens_while_it_loads(self):
        pod = self.run_pod()
        container = self.create(pod, envs=[{"key": "SLOW", "value": b"1"}])
        starting = self.client.begin("StartContainer", container_id=container)
        log = pathlib.Path(self.status(container).log_path)
        wait_until(lambda: log.exists() and "imported" in log.read_text())
        self.assertFalse(self.listens(pod))
        self.stop(container, 0)
        with self.assertRaises(grpc.RpcError) as raised:
            starting.result()
        self.assertEqual(raised.exception.code(), grpc.StatusCode.ABORTED)
        self.assertFalse(self.listens(pod))

    def test_request_that_takes_too_long(self):
        pod, container = self.prepare(annotations={"usetl.dev/timeout": "300ms"})
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.http(pod), "200")
        answers = []
        body = ("-H", "content-type: application/json", "-d", '{"hang": true}')
        asking = [threading.Thread(target=lambda: answers.append(self.http(pod, *body))) for _ in range(3)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        self.assertIn("504", answers)
        status = self.wait_exited(container)
        self.assertEqual((status.exit_code, status.reason), (137, "Error"))
        self.assertIn("a request took longer than 300 ms", status.message)
        self.assertFalse(self.listens(pod))

    def test_timeouts_that_are_none(self):
        for text in ("", "5", "0s", "-1s", "25h", "1441m", "1.5s", "5 s", "99999999999s", "s"):
            with self.subTest(text):
                pod = self.run_pod(f"pod-{len(text)}-{text.encode().hex()}", annotations={"usetl.dev/timeout": text})
                self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT,
                                  "^" + re.escape("usetl: the annotation usetl.dev/timeout wants a time of up to 24h, "
                                                  "as 500ms, 30s, 5m") + "$", self.create, pod=pod)
