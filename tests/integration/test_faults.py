"""What a function can do wrong: the caller gets a clear error, the node goes on."""

import json
import pathlib
import re
import subprocess
import unittest

from node import BUILD, Node, NodeCase

DEEP_IN_C = ("import sys\n"
             "def overflow():\n"
             " sys.setrecursionlimit(10**9)\n"
             " nest = []\n"
             " for _ in range(10**6): nest = [nest]\n"
             " repr(nest)\n")


class Stacks(NodeCase):
    def test_endless_recursion(self):
        done = self.check("def handler(e, c):\n return handler(e, c)\n", 1, "RecursionError")
        self.assertIn("line 2, in handler", done.stderr)

    def test_the_stack_overflows_in_c_code(self):
        done = self.check(DEEP_IN_C + "def handler(e, c):\n overflow()\n", 139, "SIGSEGV")
        self.assertIn("in handler", done.stderr)

    def test_a_small_stack_of_a_thread_overflows(self):
        self.check(DEEP_IN_C + "import threading\ndef handler(e, c):\n"
                   " threading.stack_size(64 << 10)\n"
                   " thread = threading.Thread(target=overflow); thread.start(); thread.join()\n", 139, "SIGSEGV")

    def test_deep_event(self):
        event = "[" * 5000 + "]" * 5000
        self.check("def handler(e, c):\n return 1\n", 2, "nested too deeply", "--event", event)

    def test_deep_result(self):
        self.check("def handler(e, c):\n nest = []\n for _ in range(10**5): nest = [nest]\n return nest\n", 1,
                   "RecursionError")


class Hangs(NodeCase):
    def test_loop_in_native_code(self):
        self.check("def handler(e, c):\n sum(range(10**15))\n", 124, "time limit", "--timeout", "300ms")

    def test_regular_expression_without_end(self):
        self.check("import re\ndef handler(e, c):\n re.match('(a+)+$', 'a' * 64 + 'b')\n", 124, "time limit",
                   "--timeout", "300ms")

    def test_loop_while_it_is_imported(self):
        self.check("while True: pass\ndef handler(e, c): pass\n", 124, "time limit", "--timeout", "300ms",
                   "--handler", "handler")

    def test_a_thread_that_never_ends(self):
        # Only the result counts: what goes on beside it is rolled back.
        done = self.node.run("import threading\ndef loop():\n while True: pass\n"
                             "def handler(e, c):\n threading.Thread(target=loop, daemon=True).start()\n return 5\n")
        self.assertEqual((done.stdout, done.returncode), ("5\n", 0), done.stderr)


class Processes(NodeCase):
    def test_fork_bomb(self):
        code = "import os\ndef handler(e, c):\n while True: os.fork()\n"
        self.check(code, 1, "BlockingIOError: .*Resource temporarily unavailable")

    def test_subprocess(self):
        code = "import subprocess\ndef handler(e, c):\n subprocess.run(['/usr/bin/python3.11', '-V'])\n"
        self.check(code, 1, "Error: ")

    def test_exit_of_the_process_from_a_thread(self):
        code = ("import os, threading, time\ndef handler(e, c):\n"
                " threading.Thread(target=os._exit, args=(7,)).start()\n time.sleep(30)\n")
        self.check(code, 7, "ended its process with status 7")

    def test_kills_itself(self):
        self.check("import os\ndef handler(e, c):\n os.kill(os.getpid(), 9)\n", 137, "SIGKILL")

    def test_abort_names_the_line(self):
        done = self.check("import ctypes\ndef handler(e, c):\n ctypes.CDLL(None).abort()\n", 134, "SIGABRT")
        self.assertIn("line 3 in handler", done.stderr)

    def test_faulthandler_writes_where_a_thread_is(self):
        code = "import faulthandler\ndef handler(e, c):\n faulthandler.dump_traceback()\n return 1\n"
        done = self.node.run(code)
        self.assertEqual(done.stdout, "1\n")
        self.assertIn("line 3 in handler", done.stderr)

    def test_an_end_by_faulthandler(self):
        done = self.check("import faulthandler\ndef handler(e, c):\n faulthandler._sigsegv()\n", 139, "SIGSEGV")
        self.assertIn("line 3 in handler", done.stderr)


class Logs(NodeCase):
    """Lines that a guest writes into the VMM's log go through usetl-vmmd."""

    def test_without_a_trace_nobody_hears_them(self):
        symbols = subprocess.run(["nm", BUILD / "usetl-kernel.elf"], capture_output=True, text=True, check=True).stdout
        address = re.search(r"(?m)^([0-9a-f]+) T \S+3LogEPKcz$", symbols)[1]
        code = ("import ctypes\n"
                "def handler(e, c):\n"
                f" log = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(0x{address})\n"
                " for _ in range(1000): log(b'noise')\n"
                " return 1\n")
        done = self.node.run(code)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "1\n", ""))
        node = Node("--trace", "2")
        self.addCleanup(node.close)
        self.assertIn("noise", node.run(code).stderr)

    def test_a_trace_is_bounded(self):
        node = Node("--trace", "1")
        self.addCleanup(node.close)
        for _ in range(2):  # each run anew
            done = node.run("import os\ndef handler(e, c):\n for _ in range(30_000): os.getppid()\n return 1\n")
            self.assertEqual((done.returncode, done.stdout), (0, "1\n"))
            self.assertTrue(100 < len(done.stderr.splitlines()) <= 20_001)


class Descriptors(NodeCase):
    def test_closed_standard_descriptors(self):
        code = "import os\ndef handler(e, c):\n for fd in range(3): os.close(fd)\n return 'still here'\n"
        done = self.node.run(code)
        self.assertEqual((done.stdout, done.returncode), ('"still here"\n', 0), done.stderr)
        self.assertEqual(self.node.run("def handler(e, c):\n print('out')\n").stdout, "out\nnull\n")

    def test_every_descriptor_closed(self):
        # The agent's own are among them: an error is all that can come, but it does come.
        self.check("import os\ndef handler(e, c):\n os.closerange(0, 1 << 20)\n", 120,
                   "the function ended its process with status 120")

    def test_more_descriptors_than_there_are(self):
        code = "import os\ndef handler(e, c):\n while True: os.dup(1)\n"
        self.check(code, 1, "Too many open files")

    def test_more_files_than_the_region_has_entries(self):
        code = ("import os\ndef handler(e, c):\n made = 0\n"
                " try:\n"
                "  while True:\n"
                "   open(f'/tmp/{made}', 'w').close(); made += 1\n"
                " except OSError as error:\n"
                "  for i in range(made): os.unlink(f'/tmp/{i}')\n"
                "  open('/tmp/again', 'w').close()\n"
                "  return [error.errno, made >= 10000]\n")
        done = self.node.run(code)
        self.assertEqual(done.stdout, "[28,true]\n", done.stderr)  # ENOSPC


class Forgeries(NodeCase):
    """A function that writes the agent's records itself: a client sees an error or a well-formed answer."""

    FORGE = ("import os, time\nfrom usetl import _abi, _device\n"
             "def answer(text):\n os.write(_device.mailbox(), _abi.record(_abi.RESULT, 2, text)); time.sleep(30)\n")

    def forged(self, answer: str, message: str, before: str = "") -> None:
        self.check(f"{self.FORGE}def handler(e, c):\n {before}\n answer({answer})\n", 125, message)

    def test_wrong_types(self):
        self.forged("""b'{"ok":"yes","value":1}'""", "malformed")
        self.forged("""b'{"ok":true,"exit":"x"}'""", "malformed")
        self.forged("""b'{"ok":false,"error":{"type":5,"message":[]}}'""", "malformed")

    def test_no_json(self):
        self.forged("b'nonsense'", "no JSON")
        self.forged(r"""b'{"ok":true,"value":"\xc3\x28"}'""", "no JSON")

    def test_deep_answers(self):
        self.forged("""b'{"ok":true,"value":' + b'[' * 15000 + b']' * 15000 + b'}'""", "nested too deeply")
        self.forged("""b'{"ok":true,"path":"/tmp/deep"}'""", "nested too deeply",
                    "open('/tmp/deep', 'wb').write(b'[' * 10**7 + b']' * 10**7)")

    def test_paths_that_lead_nowhere(self):
        self.forged("""b'{"ok":true,"path":"/tmp/absent"}'""", "absent")
        self.forged("""b'{"ok":true,"path":"/usr/bin/python3.11"}'""", "python3.11")


class Output(NodeCase):
    def test_a_gigabyte(self):
        pieces = 1024
        path = pathlib.Path(self.node.directory) / "much.py"
        path.write_text(f"import os\ndef handler(e, c):\n data = b'x' * (1 << 20)\n"
                        f" for _ in range({pieces}):\n"
                        f"  left = memoryview(data)\n"
                        f"  while left: left = left[os.write(1, left):]\n")
        client = subprocess.Popen([BUILD / "usetl", "run", path, "--node", self.node.directory, "--timeout", "5m"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        size, most = 0, 0
        while piece := client.stdout.read(16 << 20):
            size += len(piece)
            most = max(most, self.memory_of_node())
        client.stdout.close()
        self.assertEqual((client.wait(), size), (0, pieces * (1 << 20) + len("null\n")))
        self.assertGreater(most, 0)
        self.assertLess(most, pieces << 19)  # half of the output: sanitizers keep freed memory for a while

    def memory_of_node(self) -> int:
        """Bytes of its own that the processes of the node hold: daemons, workers, USFs."""
        parents, memory = {}, {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                lines = (entry / "status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            parents[int(entry.name)] = int(status["PPid"])
            memory[int(entry.name)] = int(status.get("RssAnon", "0 kB").split()[0]) << 10

        def belongs(pid: int) -> bool:
            while pid in parents:
                if pid == self.node.process.pid:
                    return True
                pid = parents[pid]
            return False

        return sum(size for pid, size in memory.items() if belongs(pid))

    def test_a_reader_that_leaves(self):
        path = pathlib.Path(self.node.directory) / "chatty.py"
        path.write_text("def handler(e, c):\n while True: print('x' * 1000)\n")
        client = subprocess.Popen([BUILD / "usetl", "run", path, "--node", self.node.directory],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        client.stdout.read(4096)
        client.stdout.close()
        client.kill()
        client.communicate()
        self.assertEqual(self.node.run("def handler(e, c):\n return 1\n").stdout, "1\n")


class HostRegion(NodeCase):
    def serve(self, body: bytes) -> str:
        """A server that gives `body` to whoever asks, as often as he asks."""
        from test_traffic import Server, ok
        server = Server(lambda head, _: ok(body))
        self.addCleanup(server.close)
        return f"http://127.0.0.1:{server.port}"

    def fill(self, origin: str):
        code = ("import usetl\ndef handler(origin, c):\n"
                " kept = []\n"
                " try:\n"
                "  for _ in range(100000): kept.append(usetl.get(origin))\n"
                " except usetl.NoSpace as error:\n"
                "  count, text = len(kept), str(error)\n"
                "  kept.clear(); del error\n"
                "  return [count, text, usetl.get(origin).status]\n")
        done = self.node.run(code, "--event", json.dumps(origin), "--allow", origin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_full_of_large_bodies(self):
        count, text, status = self.fill(self.serve(bytes(4 << 20)))
        self.assertGreater(count, 8)
        self.assertTrue(text)
        self.assertEqual(status, 200)

    def test_full_of_small_bodies(self):
        count, text, status = self.fill(self.serve(b"small"))
        self.assertGreater(count, 100)
        self.assertTrue(text)
        self.assertEqual(status, 200)


if __name__ == "__main__":
    unittest.main()
