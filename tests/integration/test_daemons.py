"""The programs of a node: their help, their starts, and their deaths in any order."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from node import BUILD, Node, in_network_namespace, start_daemon, wait_until
from processes import cpu_seconds, descendants, ended, name

LOOP = "import os\ndef handler(e, c):\n os.write(1, b'running\\n')\n while True: pass\n"
RUNTIMES = os.environ["USETL_RUNTIMES"]


class Programs(unittest.TestCase):
    def test_help(self):
        for program in ("usetl", "usetl-vmmd", "usetl-proxy", "usetl-bake", "usetl-usf"):
            done = subprocess.run([BUILD / program, "--help"], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), program)
            self.assertIn("usetl", done.stdout)

    def test_help_of_each_verb(self):
        for verb in ("run", "up", "ps", "inspect", "bake", "doctor"):
            done = subprocess.run([BUILD / "usetl", verb, "--help"], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), verb)
            self.assertIn(f"usetl {verb}" if verb in ("bake", "doctor") else verb, done.stdout)
            self.assertEqual("--pool" in done.stdout, verb == "up", verb)  # each has its own

    def test_a_verb_that_is_none(self):
        done = subprocess.run([BUILD / "usetl", "list", "x"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "^usetl: there is no list; verbs are run, .*image")

    def test_what_keeps_an_embedded_node_from_starting(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as function:
            done = subprocess.run([BUILD / "usetl", "run", function.name, "--node", "/none", "--objects", "bad",
                                   "--runtimes", RUNTIMES], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, "^usetl: .*--objects wants NAME=DIRECTORY")

    def test_bake_of_nothing(self):
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run([BUILD / "usetl", "bake", empty, "--runtimes", f"{empty}/runtimes"],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.splitlines()[1:],
                             [f"usetl: {empty} has no usr/bin/python3.11; give the root file system of a Debian 12 with "
                              "python3.11"])

    def test_doctor(self):
        done = subprocess.run([BUILD / "usetl", "doctor", "--runtimes", RUNTIMES], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "This machine is ready."))
        done = subprocess.run([BUILD / "usetl", "doctor", "--runtimes", "/nowhere"], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("BAD  no runtime python3.11 in /nowhere", done.stdout)

    def test_doctor_of_a_part(self):
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        shutil.copy(BUILD / "usetl-vmmd", directory)
        done = subprocess.run([f"{directory}/usetl-vmmd", "--doctor"], capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 1)
        for program in ("usetl-usf", "usetl-proxy", "usetl-bake", "usetl-image", "usetld", "usetl-pod"):
            self.assertIn(f"BAD  {directory}/{program} - missing: build or install USETL again\n", done.stdout)

    def test_daemons_complain_by_themselves(self):
        for program, option in (("usetl-vmmd", "--runtimes"), ("usetl-proxy", "--objects")):
            done = subprocess.run([BUILD / program, "--socket", "/tmp/never.sock", option, "/nowhere"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertTrue(done.stderr.startswith(program + ": "), done.stderr)
            self.assertFalse(os.path.exists("/tmp/never.sock"))


class Network(unittest.TestCase):
    def test_node_without_a_network_says_so(self):
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        remedy = "; write one, name another directory (--cni-conf), or start the node without: usetl up --cri --no-network\n"

        def said(*options: str) -> str:
            node = Node("--cri", "--cni-conf", directory, *options)
            node.close()
            return node.said
        self.assertRegex(said(), f"^\\S+ warning no pod can start: no network configuration: {directory} has no "
                                 rf"\*\.conflist, \*\.conf or \*\.json{re.escape(remedy)}node ")
        pathlib.Path(directory, "a.conf").write_text('{"cniVersion": "1.0.0", "name": "net", "type": "there"}')
        self.assertRegex(said("--cni-bin", directory), f"^\\S+ warning no pod can start: network plugin there is not in "
                         f"{directory}; install it, or name its directory \\(--cni-bin\\)\nnode ")
        pathlib.Path(directory, "there").touch()
        self.assertRegex(said("--cni-bin", directory), "^node ")
        self.assertRegex(said("--no-network"), "^node ")


class Starts(unittest.TestCase):
    def up(self, *options):
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        done = subprocess.run([BUILD / "usetl", "up", "--node", directory, *options],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
        self.assertEqual(os.listdir(directory), [])
        return done.stderr

    def test_error_of_vmmd_is_one_line(self):
        self.assertRegex(self.up("--runtimes", "/nowhere"), "^usetl: no runtime 'python3.11' in /nowhere; make one")

    def test_error_of_the_proxy_is_one_line(self):
        self.assertRegex(self.up("--objects", "nonsense"), "^usetl: --objects wants NAME=DIRECTORY")

    def test_second_node_in_a_directory_is_refused(self):
        node = Node()
        self.addCleanup(node.close)
        done = node.usetl("up")
        self.assertEqual(done.returncode, 1)
        self.assertIn("runs in " + node.directory + " already", done.stderr)
        self.assertEqual(node.run("def handler(e, c):\n return 1\n").stdout, "1\n")


class Workers(unittest.TestCase):
    ONE = "def handler(e, c):\n return 1\n"

    def test_spares_that_die_are_replaced(self):
        node = Node()
        self.addCleanup(node.close)
        proxy = next(p for p in descendants(node.process.pid) if name(p) == "usetl-proxy")
        spares = 4  # two for clients, two for containers
        wait_until(lambda: len(descendants(proxy)) == spares)
        before = set(descendants(proxy))
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: all(ended(worker) for worker in before))  # one may still accept a client
        self.assertEqual(node.run(self.ONE).stdout, "1\n")
        wait_until(lambda: len(set(descendants(proxy)) - before) == spares)

    def test_many_clients_at_once(self):
        node = Node(pool=4)
        self.addCleanup(node.close)
        path = pathlib.Path(node.directory) / "one.py"
        path.write_text(self.ONE)
        clients = [subprocess.Popen([BUILD / "usetl", "run", path, "--node", node.directory],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
                   for _ in range(24)]
        self.assertEqual([client.communicate(timeout=120)[0] for client in clients], ["1\n"] * 24)

    def test_daemons_by_hand_and_vmmd_replaced(self):
        in_network_namespace()
        with tempfile.TemporaryDirectory(prefix="test-usetl-") as directory:
            path = pathlib.Path(directory) / "one.py"
            path.write_text(self.ONE)

            def start(program, *options):
                daemon = subprocess.Popen([BUILD / program, *options], stdin=subprocess.DEVNULL)
                self.addCleanup(daemon.wait)
                self.addCleanup(daemon.terminate)
                return daemon

            def start_vmmd():
                daemon = start("usetl-vmmd", "--socket", directory + "/vmmd.sock", "--runtimes", RUNTIMES)
                wait_until(lambda: subprocess.run([BUILD / "usetl", "ps", "--node", directory],
                                                  capture_output=True, check=False).returncode == 0)
                return daemon

            def run():
                done = subprocess.run([BUILD / "usetl", "run", path, "--node", directory],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=60, check=False)
                return done.returncode, done.stdout + done.stderr

            vmmd = start_vmmd()
            start("usetl-proxy", "--socket", directory + "/proxy.sock", "--vmmd", directory + "/vmmd.sock")
            wait_until(lambda: os.path.exists(directory + "/proxy.sock"))
            self.assertEqual(run(), (0, "1\n"))
            vmmd.terminate()
            vmmd.wait()
            status, said = run()
            self.assertEqual(status, 125)
            self.assertRegex(said, r"^usetl: usetl-vmmd: connect .*/vmmd.sock: .*\n$")
            start_vmmd()
            self.assertEqual(run(), (0, "1\n"))


class Sockets(unittest.TestCase):
    """A path belongs to the daemon that listens there."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def start(self, program):
        path = f"{self.directory}/{program}.sock"
        option = ("--runtimes", RUNTIMES) if program == "usetl-vmmd" else ("--vmmd", "/nowhere")
        daemon, said = start_daemon(self, program, "--socket", path, *option)
        return daemon, path, said

    def test_one_that_is_taken_is_left_alone(self):
        for program in ("usetl-vmmd", "usetl-proxy"):
            with self.subTest(program=program):
                first, path, said = self.start(program)
                self.assertEqual(said, "ready\n")
                second, _, said = self.start(program)
                self.assertEqual(said, f"somebody listens at {path} already; end that daemon, or choose another path")
                self.assertEqual(second.wait(60), 1)
                self.assertTrue(os.path.exists(path))
                first.terminate()
                first.wait(60)
                self.assertFalse(os.path.exists(path))

    def test_one_that_was_left_over_is_replaced(self):
        killed, path, _ = self.start("usetl-vmmd")
        killed.kill()
        killed.wait()
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.start("usetl-vmmd")[2], "ready\n")

    def test_a_successors_is_kept_at_the_end(self):
        first, path, _ = self.start("usetl-vmmd")
        os.unlink(path)
        _, _, said = self.start("usetl-vmmd")
        self.assertEqual(said, "ready\n")
        first.terminate()
        first.wait(60)
        self.assertTrue(os.path.exists(path))

    def test_a_file_is_kept(self):
        path = pathlib.Path(self.directory) / "usetl-proxy.sock"
        path.write_text("precious")
        self.assertIn("is there and no socket", self.start("usetl-proxy")[2])
        self.assertEqual(path.read_text(), "precious")

    def test_a_node_leaves_the_proxy_of_another_alone(self):
        proxy, path, _ = self.start("usetl-proxy")
        os.rename(path, self.directory + "/proxy.sock")
        done = subprocess.run([BUILD / "usetl", "up", "--node", self.directory, "--runtimes", RUNTIMES],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("proxy.sock already", done.stderr)
        self.assertEqual(os.listdir(self.directory), ["proxy.sock"])
        self.assertIsNone(proxy.poll())


class NoDescriptorLeft(unittest.TestCase):
    def test_vmmd_pauses_and_goes_on(self):
        node = Node(pool=1)
        self.addCleanup(node.close)
        state = lambda: json.loads(node.usetl("inspect").stdout)
        wait_until(lambda: state()["idle"] == 1)
        vmmd = next(p for p in descendants(node.process.pid) if name(p) == "usetl-vmmd")
        limits = resource.prlimit(vmmd, resource.RLIMIT_NOFILE)
        resource.prlimit(vmmd, resource.RLIMIT_NOFILE, (3, limits[1]))
        waiting = subprocess.Popen([BUILD / "usetl", "inspect", "--node", node.directory],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.kill)
        self.assertEqual(node.process.stderr.readline(),
                         "usetl-vmmd: accept: Too many open files; connections wait until some are over\n")
        before = cpu_seconds(vmmd)
        time.sleep(0.5)
        self.assertLess(cpu_seconds(vmmd) - before, 0.25)  # it does not spin
        self.assertIsNone(waiting.poll())
        resource.prlimit(vmmd, resource.RLIMIT_NOFILE, limits)
        self.assertEqual(json.loads(waiting.communicate(timeout=60)[0])["idle"], 1)
        self.assertEqual(node.run("def handler(e, c):\n return 1\n").stdout, "1\n")

    def test_vmmd_pauses_for_scrapes_too(self):
        address = "127.0.0.1:9473"
        node = Node("--vmmd-metrics", address, pool=1)
        self.addCleanup(node.close)
        vmmd = next(p for p in descendants(node.process.pid) if name(p) == "usetl-vmmd")
        limits = resource.prlimit(vmmd, resource.RLIMIT_NOFILE)
        resource.prlimit(vmmd, resource.RLIMIT_NOFILE, (3, limits[1]))
        with socket.create_connection(("127.0.0.1", 9473), 60) as scrape:
            self.assertEqual(node.process.stderr.readline(), "usetl-vmmd: accept, of metrics: Too many open files; "
                             "connections wait until some are over\n")
            resource.prlimit(vmmd, resource.RLIMIT_NOFILE, limits)
            scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            self.assertIn(b"usetl_pool_usfs{", b"".join(iter(lambda: scrape.recv(65536), b"")))


class Deaths(unittest.TestCase):
    """Whoever is killed, in the middle of a function or not: one line, and nothing is left."""

    def victims(self, top):
        every = descendants(top)
        return {"up": top, "vmmd": next(p for p in every if name(p) == "usetl-vmmd"),
                "proxy": next(p for p in every if name(p) == "usetl-proxy")}, [top, *every]

    def check_gone(self, processes, directory):
        wait_until(lambda: all(ended(pid) for pid in processes))
        wait_until(lambda: [n for n in os.listdir(directory) if n.endswith(".sock")] == [])

    def node(self):
        node = Node()
        self.addCleanup(shutil.rmtree, node.directory)
        self.addCleanup(node.process.stderr.close)
        self.addCleanup(node.process.wait)
        return node

    def test_while_idle(self):
        for order in (["vmmd"], ["proxy"], ["up"], ["vmmd", "proxy"], ["proxy", "vmmd"]):
            with self.subTest(order=order):
                node = self.node()
                wait_until(lambda: json.loads(node.usetl("inspect").stdout)["idle"] == 2)
                victims, processes = self.victims(node.process.pid)
                self.assertIn("usetl-usf", [name(pid) for pid in processes])
                for victim in order:
                    with contextlib.suppress(ProcessLookupError):  # `usetl up` has ended it already
                        os.kill(victims[victim], signal.SIGKILL)
                status = node.process.wait(60)
                self.check_gone(processes, node.directory)
                said = node.process.stderr.read()
                if order != ["up"]:
                    self.assertEqual(status, 1)
                    self.assertRegex(said, r"^usetl: usetl-(vmmd|proxy) ended\n$")

    def test_while_a_function_runs(self):
        for victim in ("vmmd", "proxy", "up"):
            with self.subTest(victim=victim):
                node = self.node()
                path = pathlib.Path(node.directory) / "loop.py"
                path.write_text(LOOP)
                client = subprocess.Popen([BUILD / "usetl", "run", path, "--node", node.directory],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True)
                self.assertEqual(client.stdout.readline(), "running\n")
                victims, processes = self.victims(node.process.pid)
                os.kill(victims[victim], signal.SIGKILL)
                _, error = client.communicate(timeout=60)
                self.assertEqual((client.returncode, len(error.splitlines())), (125, 1), error)
                self.assertTrue(error.startswith("usetl: "), error)
                node.process.wait(60)
                self.check_gone(processes, node.directory)

    def test_embedded_node(self):
        for victim in ("vmmd", "proxy", "up"):
            with self.subTest(victim=victim), tempfile.TemporaryDirectory(prefix="test-usetl-") as directory:
                path = pathlib.Path(directory) / "loop.py"
                path.write_text(LOOP)
                client = subprocess.Popen(
                    [BUILD / "usetl", "run", path, "--runtimes", RUNTIMES, "--node", directory],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.assertEqual(client.stdout.readline(), "running\n")
                victims, processes = self.victims(client.pid)
                arguments = pathlib.Path(f"/proc/{victims['vmmd']}/cmdline").read_bytes().decode().split("\0")
                sockets = pathlib.Path(arguments[arguments.index("--socket") + 1]).parent
                self.assertTrue(sockets.is_dir())
                os.kill(victims[victim], signal.SIGKILL)
                _, error = client.communicate(timeout=60)
                if victim != "up":
                    self.assertEqual((client.returncode, len(error.splitlines())), (125, 2), error)
                wait_until(lambda: all(ended(pid) for pid in processes))
                wait_until(lambda: not sockets.exists())

    def test_embedded_node_while_it_starts(self):
        with tempfile.TemporaryDirectory(prefix="test-usetl-") as directory:
            path = pathlib.Path(directory) / "loop.py"
            path.write_text(LOOP)
            for daemons in (1, 2):
                client = subprocess.Popen(
                    [BUILD / "usetl", "run", path, "--runtimes", RUNTIMES, "--node", directory],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                started = lambda: [p for p in descendants(client.pid) if name(p) in ("usetl-vmmd", "usetl-proxy")]
                wait_until(lambda: len(started()) >= daemons)
                processes = descendants(client.pid)
                arguments = lambda: pathlib.Path(f"/proc/{processes[0]}/cmdline").read_bytes().decode().split("\0")
                wait_until(lambda: "--socket" in arguments())  # its name comes a little before
                directory_of_node = os.path.dirname(arguments()[arguments().index("--socket") + 1])
                client.kill()
                client.wait()
                wait_until(lambda: all(ended(pid) for pid in processes))
                wait_until(lambda: not os.path.exists(directory_of_node))

    def test_interrupt_from_the_terminal(self):
        node = self.node()
        _, processes = self.victims(node.process.pid)
        groups = {os.getpgid(pid) for pid in processes if name(pid) in ("usetl-vmmd", "usetl-proxy")}
        self.assertNotIn(os.getpgid(node.process.pid), groups)
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.process.wait(60), 0)
        self.check_gone(processes, node.directory)

    def test_starter_that_is_gone_already(self):
        reading, writing = os.pipe()
        os.close(reading)
        os.set_inheritable(writing, True)
        for program in ("usetl-vmmd", "usetl-proxy"):
            done = subprocess.run([BUILD / program, "--socket", "/tmp/never.sock", "--ready-fd", str(writing)],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                                  pass_fds=[writing], check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("whoever started this has left", done.stderr)
        os.close(writing)


if __name__ == "__main__":
    unittest.main()
