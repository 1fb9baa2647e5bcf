"""How functions of pods reach servers: by the pod's names, over the pod's network."""

import concurrent.futures
import json
import pathlib
import signal
import subprocess

from cri import cri
from cri_case import CriCase
from image_file import add_image
from node import wait_until

HERE = pathlib.Path(__file__).parent
FETCH = """
import usetl
def handler(event, context):
    try:
        answer = usetl.get(event["url"], timeout=event.get("timeout", 30))
        return {"status": answer.status, "text": bytes(answer.body).decode()}
    except OSError as error:
        return {"error": type(error).__name__}
"""
SIBLING = "def handler(event, context):\n    return {'sibling': True}\n"


class Names(CriCase):
    FILES = {"function/main.py": FETCH}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_image(cls.directory / "images", "localhost/sibling:1", {"function/main.py": SIBLING},
                  "--config.workingdir", "/function")

    def serve(self, pod: str, *names: str) -> pathlib.Path:
        """A name server at 127.0.0.53 of the pod's network; the file that it writes questions to."""
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        log = self.directory / f"dns-{pod[:8]}"
        self.name_server = server = subprocess.Popen(["nsenter", f"--net={info['networkNamespace']}", "/usr/bin/python3.11",
                                   HERE / "dns_server.py", "127.0.0.53", log, *names])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: log.exists() and "serving" in log.read_text())
        return log

    def pod_with(self, *names: str, options=("ndots:5",), mounts=(), **fields) -> tuple[str, pathlib.Path]:
        dns = cri.DNSConfig(servers=["127.0.0.53"], searches=["team.svc.cluster.local", "svc.cluster.local"],
                            options=options)
        pod = self.run_pod(dns_config=dns, **fields)
        log = self.serve(pod, *names)
        self.run_container(pod, mounts=list(mounts))
        # Another container of the pod serves on the same loopback.
        self.client.StartContainer(container_id=self.create_sibling(pod))
        return pod, log

    def create_sibling(self, pod: str) -> str:
        config = cri.ContainerConfig(metadata={"name": "sibling"}, image={"image": "localhost/sibling:1"},
                                     envs=[{"key": "PORT", "value": b"8090"}], log_path="sibling.log")
        return self.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=self.pod).container_id

    def fetch(self, pod: str, url: str, **more) -> dict:
        return json.loads(self.post(pod, {"url": url, **more}))

    def test_sibling_by_the_name_of_its_service(self):
        pod, log = self.pod_with("web.svc.cluster.local=127.0.0.1")
        found = {"status": 200, "text": '{"sibling":true}'}
        self.assertEqual(self.fetch(pod, "http://web:8090/"), found)
        questions = log.read_text().split("\n")
        self.assertIn("web.team.svc.cluster.local A", questions)
        self.assertIn("web.svc.cluster.local A", questions)
        # What was found is remembered for as long as the server said.
        self.assertEqual(self.fetch(pod, "http://web:8090/"), found)
        self.assertEqual(log.read_text().split("\n"), questions)
        self.assertEqual(self.fetch(pod, "http://127.0.0.1:8090/"), found)
        self.assertEqual(self.fetch(pod, "http://localhost:8090/"), found)
        self.assertNotIn("localhost", log.read_text())

    def test_names_that_are_none(self):
        pod, _ = self.pod_with("mute.team.svc.cluster.local=silent", options=("ndots:5", "timeout:1", "attempts:1"))
        self.assertEqual(self.fetch(pod, "http://missing:8090/"), {"error": "ResolveError"})
        self.assertEqual(self.fetch(pod, "http://mute:8090/"), {"error": "Timeout"})

    def test_servers_that_fail(self):
        # The second is asked when the first does not answer, whatever the limits of a machine's names are.
        dns = cri.DNSConfig(servers=["127.0.0.54", "127.0.0.53"], options=["timeout:1", "attempts:1", "ndots:1"])
        pod = self.run_pod("second", dns_config=dns)
        self.serve(pod, "web.example=127.0.0.1")
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        mute = subprocess.Popen(["nsenter", f"--net={info['networkNamespace']}", "/usr/bin/python3.11", "-c",
                                 "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                                 "s.bind(('127.0.0.54', 53)); print(1, flush=True); time.sleep(3600)"],
                                stdout=subprocess.PIPE)
        self.addCleanup(mute.wait)
        self.addCleanup(mute.kill)
        self.addCleanup(mute.stdout.close)
        mute.stdout.readline()
        self.run_container(pod)
        self.client.StartContainer(container_id=self.create_sibling(pod))
        self.assertEqual(self.fetch(pod, "http://web.example:8090/")["status"], 200)

    def test_name_with_an_address_of_ipv6_only(self):
        pod, log = self.pod_with("six.svc.cluster.local=::1")
        self.assertEqual(self.fetch(pod, "http://six:8090/"), {"status": 200, "text": '{"sibling":true}'})
        self.assertIn("six.svc.cluster.local AAAA\n", log.read_text())

    def test_answer_that_does_not_fit_a_datagram(self):
        pod, log = self.pod_with("large.team.svc.cluster.local=tcp:127.0.0.1")
        self.assertEqual(self.fetch(pod, "http://large:8090/")["status"], 200)
        questions = log.read_text().split("\n")
        self.assertIn("large.team.svc.cluster.local A", questions)
        self.assertIn("large.team.svc.cluster.local A tcp", questions)

    def test_answer_that_comes_when_nobody_waits(self):
        pod, log = self.pod_with("late.team.svc.cluster.local=held:127.0.0.1", options=("ndots:5", "timeout:30", "attempts:1"))
        self.assertEqual(self.fetch(pod, "http://late:8090/", timeout=1), {"error": "Timeout"})
        # Of both families, one behind the other or at once; the next to ask is asked nothing more.
        wait_until(lambda: log.read_text().count("late.") == 2)
        self.name_server.send_signal(signal.SIGUSR1)
        wait_until(lambda: "released" in log.read_text())
        self.assertEqual(self.fetch(pod, "http://late:8090/")["status"], 200)

    def test_end_while_a_name_is_looked_up(self):
        """Killed, and with a grace that is over before the name service answers."""
        for grace in (0, 1):
            pod, log = self.pod_with("mute.team.svc.cluster.local=silent", name=f"mute{grace}",
                                     options=("ndots:5", "timeout:30", "attempts:5"))
            with concurrent.futures.ThreadPoolExecutor() as executor:
                asked = executor.submit(self.post, pod, {"url": "http://mute:8090/", "timeout": 1000})
                wait_until(lambda: "mute.team" in log.read_text())
                [container] = [c.id for c in self.client.ListContainers(filter={"pod_sandbox_id": pod}).containers
                               if c.metadata.name == "function"]
                claimed = self.node_state()["claimed"]
                self.stop(container, grace)
                self.assertNotIn("status", asked.result())
            self.assertEqual(self.status(container).exit_code, 137)
            wait_until(lambda: self.node_state()["claimed"] == claimed - 1)
            self.client.RemovePodSandbox(pod_sandbox_id=pod)

    def test_name_with_a_dot_at_its_end(self):
        pod, log = self.pod_with("web.example=127.0.0.1", "short.team.svc.cluster.local=127.0.0.1",
                                 annotations={"usetl.dev/allow": "http://web.example:8090 http://short.:8090"})
        self.assertEqual(self.fetch(pod, "http://web.example.:8090/")["status"], 200)
        questions = log.read_text().split("\n")
        self.assertIn("web.example A", questions)
        self.assertFalse([line for line in questions if line.startswith("web.example.")], "no search domain")
        # The dot makes no other origin.
        self.assertEqual(self.fetch(pod, "http://short:8090/")["status"], 200)
        self.assertEqual(self.fetch(pod, "http://short.:8090/"), {"error": "ResolveError"})
        for url in ("http://other.example.:8090/", "http://web.example.:8091/", "http://metadata.google.internal./"):
            self.assertEqual(self.fetch(pod, url), {"error": "Denied"}, url)

    def test_no_server_that_can_be_asked(self):
        pod = self.run_pod("zone", dns_config=cri.DNSConfig(servers=["fe80::1%eth0"]))
        self.run_container(pod)
        self.assertEqual(self.fetch(pod, "http://web.example:8090/"), {"error": "ResolveError"})

    def test_hosts_of_the_pod(self):
        hosts = self.directory / "hosts"
        hosts.write_text("127.0.0.1\tlocalhost\n127.0.0.1\tAlias.example alias\n")
        mount = {"container_path": "/etc/hosts", "host_path": str(hosts)}
        pod, log = self.pod_with(mounts=[mount])
        self.assertEqual(self.fetch(pod, "http://alias.example:8090/")["status"], 200)
        self.assertNotIn("alias", log.read_text())

    def test_what_the_network_does_not_open(self):
        pod, _ = self.pod_with("rebind.svc.cluster.local=169.254.169.254", "own.svc.cluster.local=127.0.0.1")
        for url in ("http://169.254.169.254/", "http://rebind/", "http://metadata.google.internal/", "http://metadata.google.internal./",
                    "http://0.0.0.0:8090/",
                    "http://[fe80::1]/", "http://224.0.0.1/", "http://[::ffff:127.0.0.1]:8090/"):
            with self.subTest(url):
                self.assertEqual(self.fetch(pod, url), {"error": "Denied"})

    def test_annotation_closes_all_else(self):
        pod, _ = self.pod_with("web.svc.cluster.local=127.0.0.1", annotations={"usetl.dev/allow": "http://web:8090"})
        self.assertEqual(self.fetch(pod, "http://web:8090/")["status"], 200)
        self.assertEqual(self.fetch(pod, "http://localhost:8090/"), {"error": "Denied"})
        closed, _ = self.pod_with("web.svc.cluster.local=127.0.0.1", name="closed", annotations={"usetl.dev/allow": ""})
        self.assertEqual(self.fetch(closed, "http://web:8090/"), {"error": "Denied"})
