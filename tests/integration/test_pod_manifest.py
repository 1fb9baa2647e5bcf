"""usetl run --pod: a Kubernetes manifest on a node without a cluster."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from cri import Client, pod_config
from image_file import add_image
from node import BUILD, Node, wait_until

FUNCTION = """
import os
print("loaded", os.environ["WHO"], flush=True)
def handler(event, context):
    return event
"""
STAYS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("staying", flush=True)
time.sleep(100)
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: pair}
spec:
  runtimeClassName: usetl
  containers:
    - name: web
      image: localhost/web:1
      env: [{name: WHO, value: web}]
    - name: job
      image: localhost/web:1
      command: [python3, job.py]
"""
WRITES = """
import errno, os
open("/scratch/of_function", "w").write("x")
for path in "/root_file", "/data/by_other":
    try:
        open(path, "w")
    except OSError as raised:
        print(path, errno.errorcode[raised.errno])
print(sorted(os.listdir("/scratch")))
"""
WAITS = """
import os, time
print("waits", flush=True)
while not os.path.exists("/scratch/go"):
    time.sleep(0.02)
"""
JOB = """
apiVersion: v1
kind: Pod
metadata: {name: job}
spec:
  containers:
    - name: job
      image: localhost/web:1
      command: [python3, job.py]
"""


class PodManifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--cri", "--no-network", pool=4)
        cls.addClassCleanup(cls.node.close)
        files = {"function/main.py": FUNCTION, "function/job.py": "print('job done')\n",
                 "function/fails.py": "import sys\nsys.exit(7)\n",
                 "function/writes.py": WRITES, "function/mounts.py": WAITS, "function/stays.py": STAYS}
        add_image(f"{cls.node.directory}/images", "localhost/web:1", files, "--config.workingdir", "/function")

    def command(self, *more: str) -> list:
        return [BUILD / "usetl", "run", "--pod", "-", "--socket", f"{self.node.directory}/usetl.sock",
                "--logs", f"{self.node.directory}/logs", "--volumes", f"{self.node.directory}/volumes", *more]

    def run_pod(self, manifest: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(), input=manifest, capture_output=True, text=True, timeout=120, check=False)

    def test_until_interrupted(self):
        process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stdin.write(POD)
        process.stdin.close()
        lines = sorted(process.stdout.readline() for _ in range(2))
        self.assertEqual(lines, ["job: job done\n", "web: loaded web\n"])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 0)
        said = process.stderr.read()
        self.assertRegex(said, "^pod [0-9a-f]{13} has a loopback only: nsenter --net=/")
        process.stdout.close()
        process.stderr.close()

    def test_signals_that_come_twice(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)):
            process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
            process.stdin.write(JOB.replace("job.py", "stays.py").replace("spec:", "spec:\n  terminationGracePeriodSeconds: 1"))
            process.stdin.close()
            self.assertEqual(process.stdout.readline(), "staying\n")
            process.send_signal(first)
            process.send_signal(second)
            self.assertEqual(process.wait(60), 0)
            process.stdout.close()
            with contextlib.closing(Client(f"{self.node.directory}/usetl.sock")) as client:
                self.assertEqual(list(client.ListPodSandbox().items), [])

    def test_pods_of_others_are_left(self):
        with contextlib.closing(Client(f"{self.node.directory}/usetl.sock")) as client:
            labels = {"io.kubernetes.pod.name": "pair", "io.kubernetes.pod.namespace": "default"}
            pod = client.RunPodSandbox(config=pod_config("pair", self.node.directory, labels=labels)).pod_sandbox_id
            done = subprocess.run(self.command("--remove"), input=POD, capture_output=True, text=True, timeout=60,
                                  check=False)
            listed = [item.id for item in client.ListPodSandbox().items]
            client.RemovePodSandbox(pod_sandbox_id=pod)
        self.assertEqual((done.returncode, done.stdout, listed), (1, "", [pod]))

    def test_detached_and_removed(self):
        pod = POD.replace("  containers:", "  volumes: [{name: scratch, emptyDir: {}}]\n  containers:")
        run = functools.partial(subprocess.run, input=pod, capture_output=True, text=True, timeout=120, check=False)
        pod_id = run(self.command("--detach")).stdout
        again = run(self.command("--detach"))
        self.assertEqual((again.returncode, again.stdout, again.stderr),
                         (1, "", "usetl: pod default/pair runs already; --stats shows it, --remove ends it\n"))
        volumes = pathlib.Path(self.node.directory, "volumes")
        self.assertEqual(len(list(volumes.iterdir())), 1)
        other = run(self.command("--remove"), input=pod.replace("name: pair", "name: other"))
        self.assertEqual((other.returncode, other.stderr), (1, "usetl: no pod default/other is on this node; it was "
                                                               "removed, or its manifest renamed\n"))
        done = run(self.command("--remove"))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, pod_id, ""))
        self.assertEqual(list(volumes.iterdir()), [])
        self.assertEqual(run(self.command("--remove")).returncode, 1)

    def test_looked_at_and_into(self):
        run = functools.partial(subprocess.run, input=POD, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(run(self.command("--detach")).returncode, 0)
        try:
            wait_until(lambda: "job ended" in run(self.command("--stats")).stdout)
            stats = run(self.command("--stats"))
            self.assertRegex(stats.stdout, r"^CONTAINER +CPU +MEMORY +NAME\n[0-9a-f]{13} +\d\.\d{3} s +\d+\.\d MB  web\n"
                             rf"job ended with status 0 \(Completed\); its log: {self.node.directory}/logs/.*/job/0.log\n$")
            program = "import os, sys; print(os.getcwd()); print('bad', file=sys.stderr); sys.exit(5)"
            done = run(self.command("--exec", "--", "python3", "-c", program))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (5, "/function\n", "bad\n"))
            done = run(self.command("--exec", "--container", "web", "--", "sh", "-c", "exit 3"))
            self.assertEqual((done.returncode, done.stderr), (3, ""))
            done = run(self.command("--exec", "--container", "job", "--", "true"))
            self.assertEqual((done.returncode, done.stderr), (1, "usetl: no container job runs; --stats says why\n"))
        finally:
            removed = run(self.command("--remove"))
        self.assertEqual(removed.returncode, 0, removed.stderr)
        for option in ("--stats", "--exec"):
            done = run(self.command(option, *(["--", "true"] if option == "--exec" else [])))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, "^usetl: no pod default/pair is on this node; ")

    def test_wrong_options(self):
        for options, why in ((["--stats", "--remove"], "--detach, --stats, --exec and --remove go one at a time"),
                             (["--exec"], "--exec what.*"), (["--", "true"], "a command is for --exec")):
            done = subprocess.run(self.command(*options), stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, f"^usetl: {why}; see usetl run --pod --help\n$")

    def test_grace_of_its_own(self):
        pod = JOB.replace("job.py", "stays.py").replace("spec:", "spec:\n  terminationGracePeriodSeconds: 1")
        process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        process.stdin.write(pod)
        process.stdin.close()
        self.assertEqual(process.stdout.readline(), "staying\n")
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(60)
        self.assertGreater(time.monotonic() - begin, 1)  # it has that long
        self.assertLess(time.monotonic() - begin, 20)    # and not Kubernetes' 30 s

    def test_exit_status(self):
        done = self.run_pod(POD.replace("job.py", "fails.py").replace("    - name: web\n      image: localhost/web:1\n"
                            "      env: [{name: WHO, value: web}]\n", ""))
        self.assertEqual((done.returncode, done.stdout), (7, ""))

        pod = JOB.replace("  containers:", "  initContainers:").replace("job.py", "fails.py").replace(
            "name: job\n", "name: first\n") + "  containers: [{name: job, image: localhost/web:1}]\n"
        done = self.run_pod(pod)
        self.assertEqual((done.returncode, done.stdout), (7, ""))
        self.assertEqual(done.stderr.splitlines()[-1], "usetl: init container first ended with status 7")

    def test_pod_that_has_ended(self):
        pod = JOB.replace("job.py", "fails.py")
        run = functools.partial(subprocess.run, input=pod, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(run(self.command("--detach")).returncode, 0)
        self.addCleanup(run, self.command("--remove"))
        wait_until(lambda: "ended" in run(self.command("--stats")).stdout)
        done = run(self.command("--stats"))
        self.assertRegex(done.stdout, rf"^job ended with status 7 \(Error\).*; its log: {self.node.directory}/logs/.*/job/0.log\n$")
        self.assertEqual(done.returncode, 0)
        done = run(self.command("--exec", "--", "true"))
        self.assertEqual((done.returncode, done.stderr), (1, "usetl: no container of job runs; --stats says why\n"))
        done = run(self.command("--detach"))
        self.assertEqual((done.returncode, done.stderr), (1, "usetl: pod default/job is there already (ended); --stats says "
                                                             "how, --remove removes it\n"))

    def test_node_says_what_stays(self):
        node = Node("--cri", "--no-network")
        with contextlib.closing(Client(f"{node.directory}/usetl.sock")) as client:
            pods = [client.RunPodSandbox(config=pod_config(name, node.directory)).pod_sandbox_id for name in "ab"]
            client.RemovePodSandbox(pod_sandbox_id=pods[0])
        node.process.terminate()
        said = node.process.stderr.read()
        for network in pathlib.Path(node.directory, "netns").iterdir():
            subprocess.run(["umount", network], check=False)  # some are ready for others
        node.close()
        self.assertTrue(said.startswith("1 pod stays, with network and records: start the node again and remove what"), said)
        self.assertEqual(said.count("\n"), 1)

    def test_what_is_wrong(self):
        done = self.run_pod(POD.replace("localhost/web:1", "localhost/none:1").replace(
            "      env", "      imagePullPolicy: Never\n      env"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[-1],
                         "usetl: the image localhost/none:1 is not there; usetl image pull "
                         f"--store {self.node.directory}/images localhost/none:1, or import")
        done = self.run_pod(POD.replace("spec:", "spec:\n  hostNetwork: true"))
        self.assertIn("hostNetwork is not supported", done.stderr)
        done = self.run_pod("kind: Service")
        self.assertEqual(done.stderr, "usetl: -: there is no document with kind: Pod; there is: Service\n")
        done = self.run_pod(JOB.replace("command", "comand"))
        self.assertEqual((done.returncode, done.stderr),
                         (1, "usetl: -: spec.containers[0].comand is no field of a pod\n"))
        pods = json.loads(self.node.usetl("inspect").stdout)
        wait_until(lambda: json.loads(self.node.usetl("inspect").stdout)["claimed"] == 0)
        self.assertEqual(pods["runtime"], "python3.11")

    def test_whom_it_runs_as(self):
        data = pathlib.Path(self.node.directory, "data")
        self.addCleanup(shutil.rmtree, data)
        pod = (JOB.replace("job.py", "writes.py").replace("spec:", """spec:
  nodeSelector: {disk: fast}
  volumes:
    - {name: scratch, emptyDir: {}}
    - {name: data, hostPath: {path: %s, type: DirectoryOrCreate}}
  securityContext: {runAsUser: 1000, runAsNonRoot: true, fsGroup: 3000}""" % data) + """
      securityContext: {readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: scratch, mountPath: /scratch}, {name: data, mountPath: /data}]
""")
        done = self.run_pod(pod)
        self.assertEqual((done.returncode, done.stdout),
                         (0, "/root_file EROFS\n/data/by_other EACCES\n['of_function']\n"), done.stderr)
        self.assertTrue(done.stderr.startswith("-: spec.nodeSelector means nothing without a cluster\n"))
        self.assertEqual(len(done.stderr.splitlines()), 2, done.stderr)
        self.assertTrue(data.is_dir())

    def test_what_a_function_cannot_be(self):
        for context, message in (
                ("privileged: true", "CreateContainer: privileged containers are not supported: a function can be "
                 "given no device and no capability of the host"),
                ("capabilities: {add: [SYS_ADMIN]}", "CreateContainer: adding capabilities is not supported: a "
                 "function makes no system call of the host"),
                ("seccompProfile: {type: Localhost, localhostProfile: x}", "CreateContainer: a Localhost seccomp "
                 "profile is not supported: a function makes no system call of the host"),
                ("runAsNonRoot: true", "container job has runAsNonRoot and the image would run as root; set runAsUser"),
        ):
            done = self.run_pod(f"{JOB}      securityContext: {{{context}}}\n")
            self.assertEqual((done.returncode, done.stderr.splitlines()), (1, ["usetl: " + message]))
        done = self.run_pod(JOB.replace("spec:", f"spec:\n  volumes: [{{name: v, hostPath: {{path: {BUILD}}}}}]") +
                            "      volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]\n")
        self.assertIn("usetl: CreateContainer: mount /v: mount propagation is not supported", done.stderr)

    def test_command_line(self):
        run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=60, check=False)
        done = run([BUILD / "usetl", "run", "--pod", "--help"])
        self.assertEqual(done.returncode, 0)
        self.assertIn("\nUsage: usetl run --pod POD.yaml [OPTIONS]\n", done.stdout)
        nowhere = f"{self.node.directory}/none"
        done = run([BUILD / "usetl", "run", f"--pod={nowhere}"])
        self.assertEqual((done.returncode, done.stderr),
                         (1, f"usetl: cannot read {nowhere}: No such file or directory\n"))
        done = run([BUILD / "usetl", "run", "--socket", f"{nowhere}/usetl.sock", "--pod", "-"], input=JOB)
        self.assertEqual((done.returncode, done.stderr),
                         (1, f"usetl: no node in {nowhere} (start one: usetl up --cri --node {nowhere})\n"))

    def test_node_by_its_directory(self):
        pod = JOB.replace("spec:", "spec:\n  volumes: [{name: scratch, emptyDir: {}}]").replace("job.py", "mounts.py")
        pod += "      volumeMounts: [{name: scratch, mountPath: /scratch}]\n"
        for node in (self.node.directory, self.node.directory + "/"):
            for place in (["--pod", "-", "--node", node], ["--node", node, "--pod", "-"]):
                command = [BUILD / "usetl", "run", *place, "--logs", f"{self.node.directory}/logs"]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, text=True)
                self.addCleanup(process.stdout.close)
                process.stdin.write(pod)
                process.stdin.close()
                self.assertEqual(process.stdout.readline(), "waits\n")
                directory, = pathlib.Path(self.node.directory, "volumes").iterdir()
                (directory / "scratch/go").touch()
                self.assertEqual(process.wait(60), 0)
        done = subprocess.run([*command, "--socket", "/none"], input=pod, capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "^usetl: .*excludes.*; see usetl run --pod --help\n$")

    def test_local_image_that_is_not_there(self):
        done = self.run_pod(JOB.replace("web:1", "none:1"))
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.endswith(
            f" (usetl image import --store {self.node.directory}/images FILE --name localhost/none:1, "
            "if it is a local one)\n"), done.stderr)

    def test_images_of_a_node(self):
        done = self.node.usetl("image", "ls")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(" localhost/web:1\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
