"""Metrics: the endpoint for Prometheus, and those that kubelet asks for over the CRI."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import grpc
import prometheus
from cri import Client, container_config, cri, pod_config
from image_file import add_image
from node import BUILD, Node, start_daemon, wait_until
from registry import FakeImage, FakeRegistry, tar
from cri_case import CriCase

ADDRESS = "127.0.0.1:9470"
# Those that critest wants; it forgives some that a runtime may not know.
WANTED = """
container_blkio_device_usage_total container_cpu_cfs_periods_total container_cpu_cfs_throttled_periods_total
container_cpu_cfs_throttled_seconds_total container_cpu_system_seconds_total container_cpu_usage_seconds_total
container_cpu_user_seconds_total container_file_descriptors container_fs_inodes_free container_fs_inodes_total
container_fs_limit_bytes container_fs_reads_bytes_total container_fs_reads_total container_fs_usage_bytes
container_fs_writes_bytes_total container_fs_writes_total container_last_seen container_memory_cache
container_memory_failcnt container_memory_failures_total container_memory_kernel_usage container_memory_mapped_file
container_memory_max_usage_bytes container_memory_rss container_memory_swap container_memory_usage_bytes
container_memory_working_set_bytes container_network_receive_bytes_total container_network_receive_errors_total
container_network_receive_packets_dropped_total container_network_receive_packets_total
container_network_transmit_bytes_total container_network_transmit_errors_total
container_network_transmit_packets_dropped_total container_network_transmit_packets_total container_oom_events_total
container_processes container_sockets container_spec_cpu_period container_spec_cpu_shares
container_spec_memory_limit_bytes container_spec_memory_swap_limit_bytes container_start_time_seconds
container_threads container_threads_max
""".split()
NO_DEVICE = {"container_blkio_device_usage_total"}
FETCH = """
import usetl
def handler(event, context):
    try:
        return {"size": len(usetl.get(event["url"]).body)}
    except OSError as error:
        return {"error": str(error)}
"""


class Endpoint(CriCase):
    OPTIONS = ("--metrics", ADDRESS)

    def scrape(self) -> dict:
        with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60) as answer:
            self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
            return prometheus.parse(answer.read().decode())

    def value(self, name: str, **labels: str) -> float:
        """0 for what has not happened yet."""
        return self.scrape().get(name, {}).get(tuple(sorted(labels.items())), 0)

    def test_requests_of_containers(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        for event in ({"name": "a"}, {"name": "b"}, {"fail": 1}):
            self.post(pod, event)
        # The worker writes what it has counted when it has nothing else to do.
        wait_until(lambda: self.value("usetl_http_requests_total", **{"class": "5xx"}) == 1)
        seen = self.scrape()
        self.assertEqual(seen["usetl_http_requests_total"][(("class", "2xx"),)], 2)
        self.assertEqual(seen["usetl_http_request_duration_seconds_count"][()], 3)
        self.assertGreater(seen["usetl_http_request_duration_seconds_sum"][()], 0)
        self.assertEqual(seen["usetl_http_requests_started_total"][()], 3)
        self.assertEqual(seen["usetl_http_connections_total"][()], 3)
        self.assertGreater(seen["usetl_http_received_bytes_total"][()], 0)
        self.assertEqual(seen["usetl_log_lines_lost_total"][()], 0)
        self.assertEqual(seen["usetl_containers"][(("state", "running"),)], 1)
        # What an ended container has counted stays.
        self.stop(container, 30)
        seen = self.scrape()
        self.assertEqual(seen["usetl_http_request_duration_seconds_count"][()], 3)
        self.assertEqual(seen["usetl_containers"][(("state", "exited"),)], 1)

    def test_requests_of_functions(self):
        add_image(self.directory / "images", "localhost/fetch:1", {"main.py": FETCH}, "--config.workingdir", "/")
        served = tempfile.TemporaryDirectory(prefix="usetl-test-")
        self.addCleanup(served.cleanup)
        pod = self.run_pod(annotations={"usetl.dev/allow": "http://127.0.0.1:8081"})
        config = container_config("fetch", "localhost/fetch:1")
        container = self.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=self.pod).container_id
        self.client.StartContainer(container_id=container)
        pathlib.Path(served.name, "file").write_bytes(b"x" * 1234)
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        server = subprocess.Popen(["nsenter", f"--net={info['networkNamespace']}", "python3", "-m", "http.server", "-b",
                                   "127.0.0.1", "-d", served.name, "8081"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        wait_until(lambda: "size" in self.post(pod, {"url": "http://127.0.0.1:8081/file"}))
        self.assertIn("error", self.post(pod, {"url": "http://192.0.2.1/"}))
        wait_until(lambda: self.value("usetl_etl_denied_total") == 1)
        seen = self.scrape()
        self.assertEqual(seen["usetl_etl_received_bytes_total"][()], 1234)
        # Those before the server listened have failed.
        self.assertEqual(seen["usetl_etl_requests_total"][()], seen["usetl_etl_errors_total"][()] + 2)

    def test_killed_worker_leaves_its_counts(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        self.post(pod, {"name": "a"})
        wait_until(lambda: self.value("usetl_http_requests_total", **{"class": "2xx"}) == 1)
        worker = json.loads(self.client.ContainerStatus(container_id=container, verbose=True).info["info"])["workerPid"]
        os.kill(worker, 9)
        self.wait_exited(container)
        self.assertEqual(self.value("usetl_http_requests_total", **{"class": "2xx"}), 1)

    def test_later_usetld_counts_from_zero(self):
        pod = self.run_pod()
        self.run_container(pod)
        self.post(pod, {"name": "a"})
        wait_until(lambda: self.value("usetl_http_requests_started_total") == 1)
        self.kill()
        self.start()
        self.assertEqual(self.value("usetl_http_requests_started_total"), 0)
        self.post(pod, {"name": "b"})
        wait_until(lambda: self.value("usetl_http_requests_started_total") == 1)

    def test_pool(self):
        before = self.scrape()
        self.assertEqual(before["usetl_vmmd_up"][()], 1)
        self.assertEqual(before["usetl_pool_wanted_usfs"][()], 3)
        wait_until(lambda: self.value("usetl_pool_usfs", state="idle") >= 3)
        container = self.run_container(self.run_pod())
        after = self.scrape()
        hits = [seen["usetl_pool_claims_total"][(("result", "hit"),)] for seen in (before, after)]
        self.assertEqual(hits[1] - hits[0], 1)
        self.assertEqual(after["usetl_pool_usfs"][(("state", "claimed"),)], 1)
        self.stop(container, 30)
        wait_until(lambda: self.value("usetl_rollback_duration_seconds_count")
                   > before["usetl_rollback_duration_seconds_count"][()])

    def test_calls_refusals_and_pulls(self):
        self.client.Version()
        with self.assertRaises(grpc.RpcError):
            self.client.ContainerStatus(container_id="0" * 64)
        for _ in range(2):
            with self.assertRaises(grpc.RpcError):
                self.client.RunPodSandbox(config=pod_config("x", "/tmp"), runtime_handler="runc")
        pod = self.run_pod()
        for fields in ({"tty": True}, {"command": ["/bin/sh"]}):
            with self.assertRaises(grpc.RpcError):
                self.create(pod, **fields)
        with self.assertRaises(grpc.RpcError):
            self.client.PullImage(image=cri.ImageSpec(image="127.0.0.1:9/none:1"))
        image = FakeImage(tar(("a", b"right")))
        registry = FakeRegistry(image)
        self.addCleanup(registry.close)
        self.client.PullImage(image=cri.ImageSpec(image=f"{registry.host}/a/b:1"))
        self.addCleanup(self.client.RemoveImage, image=cri.ImageSpec(image=f"{registry.host}/a/b:1"))
        seen = self.scrape()
        calls = {(dict(labels)["method"], dict(labels)["code"]): value
                 for labels, value in seen["usetl_cri_requests_total"].items()}
        self.assertEqual(calls["Version", "OK"], 1)
        self.assertEqual(calls["ContainerStatus", "NOT_FOUND"], 1)
        self.assertEqual(calls["RunPodSandbox", "INVALID_ARGUMENT"], 2)
        self.assertEqual(calls["RunPodSandbox", "OK"], 1)
        self.assertEqual(calls["PullImage", "UNAVAILABLE"], 1)
        self.assertEqual(seen["usetl_cri_request_duration_seconds_count"][(("method", "RunPodSandbox"),)], 3)
        self.assertEqual(seen["usetl_refusals_total"], {(("reason", "runtime_handler"),): 2, (("reason", "tty"),): 1,
                                                        (("reason", "function"),): 1})
        self.assertEqual(seen["usetl_image_pulls_total"], {(("result", "failed"),): 1, (("result", "complete"),): 1})
        self.assertEqual(seen["usetl_image_pulled_bytes_total"][()], len(image.blobs[image.layers[0]]))

    def test_nothing_but_metrics_is_served(self):
        for path in ("/", "/index.html", "/../../etc/passwd"):
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(f"http://{ADDRESS}{path}", timeout=60)
            self.assertEqual(raised.exception.code, 404)
            raised.exception.close()


class Options(unittest.TestCase):
    def start(self, directory: str, address: str) -> str:
        daemon, said = start_daemon(self, "usetld", "--socket", f"{directory}/s", "--state", f"{directory}/state",
                                    "--images", f"{directory}/images", "--namespaces", f"{directory}/netns",
                                    "--vmmd", f"{directory}/none.sock", "--no-network", "--metrics", address)
        daemon.terminate()
        daemon.wait()
        return said

    def test_address_is_checked(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertRegex(self.start(directory, "localhost:9471"), "no address and port")
            self.assertRegex(self.start(directory, "192.0.2.1:9471"), "cannot serve metrics at 192.0.2.1:9471")
            with socket.create_server(("127.0.0.1", 9471)):
                self.assertRegex(self.start(directory, "127.0.0.1:9471"), "cannot serve metrics at")
            self.assertEqual(self.start(directory, "127.0.0.1:9471"), "ready\n")

    def test_without_vmmd(self):
        with tempfile.TemporaryDirectory() as directory:
            _, said = start_daemon(self, "usetld", "--socket", f"{directory}/s", "--state", f"{directory}/state",
                                   "--images", f"{directory}/images", "--namespaces", f"{directory}/netns",
                                   "--vmmd", f"{directory}/none.sock", "--no-network", "--metrics", ADDRESS)
            self.assertEqual(said, "ready\n")
            with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60) as answer:
                seen = prometheus.parse(answer.read().decode())
            self.assertEqual(seen["usetl_vmmd_up"][()], 0)
            self.assertNotIn("usetl_pool_usfs", seen)
            client = Client(f"{directory}/s")
            self.addCleanup(client.close)
            self.assertIn("error", json.loads(client.Status(verbose=True).info["usetl"])["pool"])

    def test_vmmd_serves_its_own(self):
        address = "127.0.0.1:9472"
        node = Node("--vmmd-metrics", address)
        self.addCleanup(node.close)

        def scrape() -> dict:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
                self.assertIn("text/plain; version=0.0.4", answer.headers["Content-Type"])
                return prometheus.parse(answer.read().decode())

        def scraped() -> bool:
            try:
                return bool(scrape())
            except OSError:
                return False

        silent = [socket.create_connection(("127.0.0.1", 9472)) for _ in range(40)]
        for one in silent:
            self.addCleanup(one.close)
        wait_until(scraped)  # those lose their places after a second
        before = scrape()
        self.assertEqual(before["usetl_pool_wanted_usfs"][()], 2)
        self.assertEqual(node.run("def handler(e, c):\n return 1\n").stdout, "1\n")
        wait_until(lambda: scrape()["usetl_rollback_duration_seconds_count"][()] >= 1)
        after = scrape()
        self.assertEqual(sum(after["usetl_pool_claims_total"].values()), 1)
        self.assertGreaterEqual(after["usetl_pool_usfs_made_total"][()], 2)
        state = json.loads(node.usetl("inspect").stdout)
        self.assertEqual(after["usetl_pool_regions_bytes"][()], state["regions"])
        # Requests that an HTTP server would refuse are not even looked at.
        for request in (b"\0", b"POST / HTTP/9\r\n" + 50_000 * b"x"):
            with socket.create_connection(("127.0.0.1", 9472), 60) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                self.assertIn(b"usetl_pool_usfs{", b"".join(iter(lambda c=connection: c.recv(65536), b"")))

    def test_address_of_vmmd_is_checked(self):
        for address, message in (("localhost:1", "no address and port"),
                                 ("192.0.2.1:9472", "cannot serve metrics at 192.0.2.1:9472: ")):
            with tempfile.TemporaryDirectory() as directory:
                _, said = start_daemon(self, "usetl-vmmd", "--socket", f"{directory}/s", "--runtimes",
                                       os.environ["USETL_RUNTIMES"], "--metrics", address)
                self.assertIn(message, said)

    def test_up_passes_it_on(self):
        node = Node("--cri", "--no-network", "--metrics", ADDRESS)
        self.addCleanup(node.close)
        with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60) as answer:
            self.assertEqual(prometheus.parse(answer.read().decode())["usetl_vmmd_up"][()], 1)
        alone = subprocess.run([BUILD / "usetl", "up", "--metrics", ADDRESS], capture_output=True, text=True,
                               timeout=60, check=False)
        self.assertNotEqual(alone.returncode, 0)
        self.assertIn("--cri", alone.stderr)


class OverCri(CriCase):
    def test_status_is_verbose(self):
        info = self.client.Status(verbose=True).info
        usetl, config = json.loads(info["usetl"]), json.loads(info["config"])
        self.assertEqual(usetl["pool"]["wanted"], 3)
        self.assertEqual(config["stateDirectory"], f"{self.directory}/state")
        self.assertEqual(dict(self.client.Status().info), {})

    def test_stats_of_a_pod(self):
        pod = self.run_pod()
        self.run_container(pod)
        before = self.client.PodSandboxStats(pod_sandbox_id=pod).stats.linux
        self.post(pod, {"name": "x"})
        after = self.client.PodSandboxStats(pod_sandbox_id=pod).stats.linux
        [first], [second] = before.network.interfaces, after.network.interfaces
        self.assertEqual(first.name, "lo")
        self.assertGreater(second.rx_bytes.value, first.rx_bytes.value)
        self.assertFalse(after.network.HasField("default_interface"), "the pod has no address")
        self.assertEqual(after.process.process_count.value, 2)
        self.assertGreater(after.network.timestamp, before.network.timestamp)
        [container] = after.containers
        self.assertTrue(container.swap.HasField("swap_usage_bytes"))
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.assertFalse(self.client.PodSandboxStats(pod_sandbox_id=pod).stats.linux.HasField("network"))

    def test_metrics(self):
        resources = cri.LinuxContainerResources(cpu_period=100_000, cpu_quota=20_000, cpu_shares=1024,
                                                memory_limit_in_bytes=256 << 20)
        pod = self.run_pod()
        container = self.run_container(pod, linux=cri.LinuxContainerConfig(resources=resources))
        self.create(pod, "not started")
        self.post(pod, {"name": "x"})
        descriptors = {d.name: d for d in self.client.ListMetricDescriptors().descriptors}
        self.assertLessEqual(set(WANTED), set(descriptors))
        [metrics] = self.client.ListPodSandboxMetrics().pod_metrics
        self.assertEqual(metrics.pod_sandbox_id, pod)
        [of_container] = metrics.container_metrics
        self.assertEqual(of_container.container_id, container)
        rows = {}
        for metric in [*metrics.metrics, *of_container.metrics]:
            labels = dict(zip(descriptors[metric.name].label_keys, metric.label_values, strict=True))
            self.assertEqual((labels["pod"], labels["namespace"]), ("pod", "default"))
            self.assertGreater(metric.timestamp, 0)
            rows.setdefault((labels["container"], metric.name), []).append((labels, metric.value.value))
        names = {name for _, name in rows}
        self.assertEqual(set(WANTED) - names - NO_DEVICE, set())

        def value(name: str, container: str = "function") -> int:
            [(_, only)] = rows[container, name]
            return only

        self.assertEqual(value("container_spec_cpu_quota"), 20_000)
        self.assertEqual(value("container_spec_memory_limit_bytes"), 256 << 20)
        self.assertEqual((value("container_processes"), value("container_threads")), (1, 1))
        self.assertGreater(value("container_memory_rss"), 1 << 20)
        self.assertEqual(value("container_memory_rss") + value("container_memory_cache"),
                         value("container_memory_usage_bytes"))
        self.assertGreaterEqual(value("container_memory_max_usage_bytes"), value("container_memory_rss"))
        self.assertGreater(value("container_memory_kernel_usage"), 0)
        self.assertGreater(value("container_file_descriptors"), value("container_sockets"))
        self.assertGreater(value("container_sockets"), 0)
        self.assertGreater(value("container_network_receive_bytes_total", ""), 0)
        self.assertGreaterEqual(value("container_last_seen"), value("container_start_time_seconds"))
        faults = {labels["failure_type"]: count for labels, count in rows["function", "container_memory_failures_total"]}
        self.assertGreater(faults["pgfault"], 0)
        streamed = [one for part in self.client.StreamPodSandboxMetrics() for one in part.pod_sandbox_metrics]
        self.assertEqual([one.pod_sandbox_id for one in streamed], [pod])
        self.stop(container, 0)
        [metrics] = self.client.ListPodSandboxMetrics().pod_metrics
        self.assertEqual(len(metrics.container_metrics), 0)
        self.client.StopPodSandbox(pod_sandbox_id=pod)
        self.assertEqual(len(self.client.ListPodSandboxMetrics().pod_metrics), 0)
