"""The node itself: reuse, losses, refusals."""

import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

from node import BUILD, Node, wait_until
from processes import status_of
from test_traffic import Server, ok

ONE = "def handler(e, c):\n return 1\n"
LOOP = "import os\ndef handler(e, c):\n os.write(1, b'running\\n')\n while True: pass\n"


class LivingNode(unittest.TestCase):
    def setUp(self):
        self.node = Node(verify=True)
        self.addCleanup(self.node.close)

    def state(self):
        return json.loads(self.node.usetl("inspect").stdout)

    def test_a_usf_is_rolled_back_and_used_again(self):
        for done in range(5):
            self.assertEqual(self.node.run(ONE).stdout, "1\n")
            wait_until(lambda: self.state()["rolled_back"] == done + 1)
        # The tenant's own USF comes before a fresh one.
        self.assertEqual(max(usf["uses"] for usf in self.state()["usfs"]), 5)

    def test_what_it_says_when_it_serves(self):
        self.assertEqual(self.node.said,
                         f"node {self.node.directory} serves; 2 USFs of python3.11 are being made ready "
                         "(usetl ps lists them); stop with Ctrl-C\n")

    def test_state_comes_in_pieces(self):
        wait_until(lambda: len(self.state()["usfs"]) >= 2)
        numbers = [usf["usf"] for usf in self.state()["usfs"]]
        self.assertEqual(numbers, sorted(numbers))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as vmmd:
            vmmd.connect(f"{self.node.directory}/vmmd.sock")

            def ask(start: int) -> dict:
                vmmd.send(struct.pack("=II", 3, start))  # PlainRequest, kInspect
                answer = vmmd.recv(64 << 10)
                return json.loads(answer[answer.index(b"{"):])
            self.assertEqual([usf["usf"] for usf in ask(numbers[-1])["usfs"]], numbers[-1:])
            self.assertEqual(ask(numbers[-1] + 1)["usfs"], [])
            self.assertNotIn("usfs", ask(2 ** 32 - 1))

    def test_missing_system_calls_are_counted(self):
        code = ("import ctypes\ndef handler(e, c):\n"
                " syscall = ctypes.CDLL(None, use_errno=True).syscall\n"
                " return [(syscall(n), ctypes.get_errno()) for n in (425, 425, 237, 511)]\n")
        self.assertEqual(self.node.run(code).stdout, "[[-1,38],[-1,38],[-1,38],[-1,38]]\n")
        wait_until(lambda: "mbind" in self.state()["unimplemented"])
        self.assertEqual(self.state()["unimplemented"], {"mbind": 1, "io_uring_setup": 2, "511": 1})

    def test_usfs_are_jailed(self):
        wait_until(lambda: sum(u["state"] == "idle" for u in self.state()["usfs"]) >= 2)
        pids = [usf["pid"] for usf in self.state()["usfs"]]
        uids = set()
        for pid in pids:
            status = status_of(pid)
            self.assertEqual(int(status["CapEff"], 16) | int(status["CapBnd"], 16), 0)
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
            uids.add(status["Uid"].split()[0])
            self.assertEqual(os.listdir(f"/proc/{pid}/root"), [])
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/net"), os.readlink("/proc/self/ns/net"))
        self.assertEqual(len(uids), len(pids))
        self.assertNotIn("0", uids)

    def test_killed_usf_is_an_error_and_the_pool_refills(self):
        result = []
        thread = threading.Thread(target=lambda: result.append(self.node.run(LOOP)))
        thread.start()
        claimed = lambda: [u["pid"] for u in self.state()["usfs"] if u["state"] == "claimed"]
        wait_until(claimed)
        os.kill(claimed()[0], signal.SIGKILL)
        thread.join()
        self.assertEqual(result[0].returncode, 125)
        self.assertIn("the USF was lost", result[0].stderr)
        self.assertEqual(self.node.run(ONE).stdout, "1\n")
        self.assertEqual(self.state()["lost"], 1)

    def test_tenant_that_leaves_in_the_middle(self):
        path = pathlib.Path(self.node.directory) / "loop.py"
        path.write_text(LOOP)
        client = subprocess.Popen([BUILD / "usetl", "run", path, "--node", self.node.directory],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), b"running\n")
        client.kill()
        client.wait()
        client.stdout.close()
        wait_until(lambda: self.state()["rolled_back"] == 1)
        self.assertEqual(self.node.run(ONE).stdout, "1\n")

    def test_unknown_runtime(self):
        done = self.node.run(ONE, "--runtime", "absent")
        self.assertEqual(done.returncode, 125)
        self.assertIn("no pool of runtime 'absent'", done.stderr)

    def test_ps(self):
        self.assertIn("STATE", self.node.usetl("ps").stdout)


class Randomness(unittest.TestCase):
    CODE = ("import json, os, random, secrets, sqlite3, ssl, tempfile, usetl, uuid\n"
            "def handler(url, c):\n"
            " drawn = [os.urandom(8).hex(), random.random(), random.getrandbits(64), str(uuid.uuid4()),\n"
            "          str(uuid.uuid1()), secrets.token_hex(8), tempfile.mktemp(), os.path.basename(tempfile.mkdtemp()),\n"
            "          ssl.RAND_bytes(8).hex(), random.SystemRandom().random(),\n"
            "          sqlite3.connect(':memory:').execute('select random()').fetchone()[0]]\n"
            " usetl.get(url)\n"
            " return drawn\n")

    def test_usfs_at_the_same_time_and_after_rollbacks_draw_differently(self):
        node = Node(verify=True)
        self.addCleanup(node.close)
        both = threading.Barrier(2)
        server = Server(lambda head, body: (both.wait(60), ok(b""))[1])  # none goes on before both have drawn
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        path = pathlib.Path(node.directory) / "draw.py"
        path.write_text(self.CODE)
        command = [BUILD / "usetl", "run", path, "--node", node.directory, "--allow", origin, "--event"]
        def at_rest() -> bool:
            state = json.loads(node.usetl("inspect").stdout)
            return state["claimed"] + state["rolling"] == 0
        # The same two, rolled back in between. On a busy machine one may be given up and replaced: then it takes
        # some more rounds.
        drawn, uses, wanted = [], [], 4
        while sum(used >= wanted for used in uses) < 2:
            self.assertLess(len(drawn), 2 * 10 * wanted, f"no two USFs were used {wanted} times: {uses}")
            runs = [subprocess.Popen([*command, json.dumps(f"{origin}/{len(drawn) + i}")], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(2)]
            for run in runs:
                result, said = run.communicate(timeout=120)
                self.assertEqual(run.returncode, 0, said + node.usetl("inspect").stdout)
                drawn.append(json.loads(result))
            wait_until(at_rest)
            uses = [usf["uses"] for usf in json.loads(node.usetl("inspect").stdout)["usfs"]]
        asked = [int(head.split()[1][1:]) for head, _ in server.requests]
        self.assertEqual(sorted(asked), [*range(len(drawn))])
        for values in zip(*drawn):
            self.assertEqual(len(set(values)), len(drawn), values)


class Owners(unittest.TestCase):
    def test_node_of_another_user(self):
        node = Node("--cri", "--no-network")
        self.addCleanup(node.close)
        os.chmod(node.directory, 0o755)
        says = f"usetl: the node in {node.directory} belongs to another user (root); run as that user, or with sudo\n"
        with tempfile.NamedTemporaryFile("w", suffix=".py") as function:
            os.chmod(function.name, 0o644)
            for words, status in ((["ps"], 1), (["inspect"], 1), (["run", function.name], 125), (["up"], 1),
                                  (["run", "--pod", "-"], 1)):
                done = subprocess.run(
                    [BUILD / "usetl", *words, "--node", node.directory], text=True, timeout=60, check=False,
                    input="{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}",
                    capture_output=True, user=65534, group=65534, extra_groups=[])
                self.assertEqual((done.returncode, done.stdout, done.stderr), (status, "", says), words)


class Refusals(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def run_with(self, runtimes, code=ONE):
        path = pathlib.Path(self.directory) / "f.py"
        path.write_text(code)
        return subprocess.run([BUILD / "usetl", "run", path, "--runtimes", runtimes, "--node", self.directory],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def damaged(self, change):
        source = pathlib.Path(os.environ["USETL_RUNTIMES"]) / "python3.11"
        copy = pathlib.Path(self.directory) / "runtimes" / "python3.11"
        shutil.copytree(source, copy)
        snapshot = copy / "snapshot"
        data = bytearray(snapshot.read_bytes())
        change(data)
        snapshot.write_bytes(data)
        return self.run_with(copy.parent)

    def test_no_runtime(self):
        done = self.run_with(self.directory)
        self.assertEqual(done.returncode, 125)
        self.assertIn("usetl bake", done.stderr)

    def test_flipped_bit(self):
        done = self.damaged(lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 1))
        self.assertEqual(done.returncode, 125)
        self.assertIn("damaged; bake the runtime again", done.stderr)

    def test_cut_off(self):
        done = self.damaged(lambda data: data.__delitem__(slice(len(data) - 5000, None)))
        self.assertIn("damaged; bake the runtime again", done.stderr)

    def test_embedded_node_leaves_nothing(self):
        before = set(os.listdir("/tmp"))
        done = self.run_with(os.environ["USETL_RUNTIMES"])
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)
        self.assertEqual([n for n in set(os.listdir("/tmp")) - before if n.startswith("usetl-") and "test" not in n], [])

    def test_bake_into_a_full_disk(self):
        mount = pathlib.Path(self.directory) / "small"
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", mount], check=True)
        try:
            done = subprocess.run([BUILD / "usetl", "bake", BUILD / "rootfs", "--runtimes", mount],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("No space left", done.stderr)
            self.assertEqual(os.listdir(mount), [])
        finally:
            subprocess.run(["umount", mount], check=True)


if __name__ == "__main__":
    unittest.main()
