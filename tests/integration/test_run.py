"""usetl run through the real binaries: results, statuses, errors, traffic."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import unittest

from node import BUILD, NodeCase, in_network_namespace


class Handlers(NodeCase):
    def test_handler_gets_event_and_returns_json(self):
        done = self.node.run("def handler(event, context):\n return {'n': event['n'] * 2}\n",
                             "--event", '{"n": 21}')
        self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"n": 42}))

    def test_output_and_errors_are_separate(self):
        done = self.node.run("import sys\ndef main(event):\n print('out'); print('err', file=sys.stderr)\n")
        self.assertEqual((done.stdout, done.returncode), ("out\nnull\n", 0))
        self.assertIn("err\n", done.stderr)

    def test_script_has_arguments_input_environment_and_status(self):
        script = "import os, sys\nprint(sys.argv[1:], sys.stdin.read(), os.environ['X'])\nsys.exit(3)\n"
        done = self.node.run(script, "--script", "--env", "X=y", "--", "a", "b", stdin="typed")
        self.assertEqual((done.stdout, done.returncode), ("['a', 'b'] typed y\n", 3))

    def test_standard_input_without_an_end(self):
        read, write = os.pipe()
        try:
            path = pathlib.Path(self.node.directory) / "quick.py"
            path.write_text("print(1)\n")
            done = subprocess.run([BUILD / "usetl", "run", path, "--node", self.node.directory, "--timeout", "2s"],
                                  stdin=read, capture_output=True, text=True, timeout=60, check=False)
        finally:
            os.close(read)
            os.close(write)
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertIn("standard input did not end", done.stderr)

    def test_standard_input_whose_read_blocks(self):
        # poll() calls it readable; a read waits for a hundred bytes.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100)
            ours.send(b"x")
            path = pathlib.Path(self.node.directory) / "quick.py"
            path.write_text("print(1)\n")
            done = subprocess.run([BUILD / "usetl", "run", path, "--node", self.node.directory, "--timeout", "2s"],
                                  stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 124, done.stderr)
        self.assertIn("standard input did not end", done.stderr)

    def test_large_event_and_large_result(self):
        event = json.dumps({"text": "x" * 30000})
        done = self.node.run("def handler(e, c):\n return e['text'] * 10\n", "--event", event)
        self.assertEqual((done.returncode, len(json.loads(done.stdout))), (0, 300000))

    def test_values_pass_unchanged(self):
        # Order of members, integers beyond 64 bits, text beyond ASCII; of the event and of the result.
        event = '{"z":1180591620717411303424,"a":["ä","\\u0416"],"\\u00e9":2.50}'
        done = self.node.run("def handler(e, c):\n return e\n", "--event", event)
        self.assertEqual(done.stdout, '{"z":1180591620717411303424,"a":["ä","Ж"],"é":2.5}\n', done.stderr)
        done = self.node.run("def handler(e, c):\n return [e] * 1000\n", "--event", event)
        self.assertEqual(len(done.stdout), len('{"z":1180591620717411303424,"a":["ä","Ж"],"é":2.5},') * 1000 + 2)

    def test_two_runs_share_no_randomness_and_no_state(self):
        code = ("import os, random, uuid, secrets, sqlite3, ssl, tempfile, builtins\n"
                "def handler(e, c):\n"
                " seen = hasattr(builtins, 'left'); builtins.left = 1\n"
                " old = os.path.exists('/tmp/left'); open('/tmp/left', 'w').close()\n"
                " return [seen, old, os.urandom(8).hex(), random.random(), str(uuid.uuid4()),\n"
                "         str(uuid.uuid1()), secrets.token_hex(8), tempfile.mktemp(), ssl.RAND_bytes(8).hex(),\n"
                "         sqlite3.connect(':memory:').execute('select random()').fetchone()[0]]\n")
        runs = [json.loads(self.node.run(code).stdout) for _ in range(6)]
        for run in runs:
            self.assertEqual(run[:2], [False, False])
        for values in list(zip(*runs))[2:]:
            self.assertEqual(len(set(values)), len(runs), values)

    def test_clocks_are_the_hosts(self):
        import time
        done = self.node.run("import time\ndef handler(e, c):\n return [time.time(), time.monotonic()]\n")
        wall, monotonic = json.loads(done.stdout)
        self.assertLess(abs(wall - time.time()), 60)
        self.assertLess(abs(monotonic - time.monotonic()), 60)


class Failures(NodeCase):
    def test_syntax_error(self):
        self.check("def handler(:\n", 1, "SyntaxError")

    def test_missing_handler(self):
        done = self.check("x = 1\n", 1, "/function.py has no absent; it was named by --handler", "--handler", "absent")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_exception(self):
        done = self.check("def handler(e, c):\n return 1 / 0\n", 1, "ZeroDivisionError")
        self.assertIn("line 2, in handler", done.stderr)

    def test_results_that_are_no_json(self):
        for value, cause in (("float('nan')", "ValueError: the result is not JSON: Out of range float"),
                             ("{1, 2}", "TypeError: the result is not JSON: Object of type set"),
                             ("'\\ud800'", "ValueError: the result is not JSON: 'utf-8' codec can't encode")):
            self.check(f"def handler(e, c):\n return {value}\n", 1, cause)

    def test_errors_that_are_no_text(self):
        done = self.check("def handler(e, c):\n raise ValueError('a \\ud800 b')\n", 1, r"ValueError: a \\ud800 b")
        self.assertIn("line 2, in handler", done.stderr)

    def test_arguments_that_are_no_text(self):
        done = self.node.run("print(1)\n", "--", os.fsdecode(b"\xff"))
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (2, "", "usetl: arguments, --env, --event and names of files must be UTF-8\n"))
        for event in ("", "text"):
            done = self.node.run("def handler(e, c):\n return e\n", "--event", event)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("--event is no JSON", done.stderr)

    def test_context(self):
        code = ("def handler(e, c):\n return [c.get_remaining_time_in_millis(), c.memory_limit_in_mb,\n"
                "         len(c.aws_request_id), c.function_name]\n")
        left, *rest = json.loads(self.node.run(code, "--timeout", "50s", "--memory", "128M").stdout)
        self.assertTrue(0 < left <= 50000, left)
        self.assertEqual(rest, [128, 32, "function.py"])

    def test_event_without_a_handler(self):
        done = self.node.run("def process(event, context):\n return 1\n", "--event", "1")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("defines none of handler(event, context), lambda_handler, main(event), handle(event); "
                      "it defines process: name that", done.stderr)
        self.assertEqual(self.node.run("def process(e):\n return e\n", "--event", "1", "--handler", "process").stdout, "1\n")

    def test_standard_input_is_left_to_others(self):
        path = pathlib.Path(self.node.directory) / "function.py"
        path.write_text("def handler(e, c):\n return e\n")
        loop = 'while read n; do "$0" run "$1" --node "$2" --event $n; done'
        done = subprocess.run(["sh", "-c", loop, BUILD / "usetl", path, self.node.directory], input="1\n2\n3\n",
                              capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual((done.stdout, done.stderr), ("1\n2\n3\n", ""))

    def test_what_has_no_room(self):
        done = self.node.run("def handler(e, c):\n with open('/tmp/big', 'wb') as f:\n  f.write(bytes(100 << 20))\n")
        self.assertIn("No space left on device; files, bodies and results share a region", done.stderr)
        done = self.node.run("import absent\ndef handler(e, c):\n return 1\n")
        self.assertIn("No module named 'absent'; packages come with an image, or with a runtime", done.stderr)

    def test_exit(self):
        self.check("import sys\ndef handler(e, c):\n sys.exit(3)\n", 3, "SystemExit")

    def test_endless_loop(self):
        self.check("def handler(e, c):\n while True: pass\n", 124, "time limit", "--timeout", "300ms")

    def test_memory_limit(self):
        code = "x = []\ndef handler(e, c):\n while True: x.append(bytearray(10 << 20))\n"
        said = "the function came to its memory limit of 128 MB; it gets more by --memory$"
        self.check(code, 1, f"MemoryError: {said}", "--memory", "128M")
        self.check(code + "handler(0, 0)\n", 1, f"MemoryError: {said}", "--memory", "128M")  # while it is loaded
        self.check(code.replace("10 << 20", "1 << 30"), 1, "MemoryError: .* limit of 512 MB")
        text = "class TooLargeMemoryError(Exception): ...\n" + code.replace(
            "while True: x", "try:\n  while True: x") + " except MemoryError:\n  raise TooLargeMemoryError('an array')\n"
        self.check(text, 1, f"TooLargeMemoryError: an array; {said}", "--memory", "128M")

    def test_memory_error_of_its_own(self):
        for code in ("raise MemoryError", "b'x' * 2**60"):  # the latter no limit would allow
            done = self.check(f"def handler(e, c):\n {code}\n", 1, "MemoryError$")
            self.assertNotIn("limit", done.stderr)

    def test_script_at_its_memory_limit(self):
        done = self.check("x = []\nwhile True: x.append(bytearray(10 << 20))\n", 1, "limit of 128 MB; .*--memory$",
                          "--memory", "128M", "--script")
        self.assertRegex(done.stderr, r"\nMemoryError\nusetl: [^\n]*\n\Z")

    def test_processes(self):
        line = ("usetl: a function has one process and can start no other: fork, subprocess and multiprocessing fail here; "
                "threads do not\n")
        for code in ("os.fork()", "subprocess.run(['true'])", "subprocess.run('true', close_fds=False)",
                     "os.posix_spawn('/bin/true', ['true'], {})", "os.popen('true')",
                     "multiprocessing.Process(target=print).start()",
                     "multiprocessing.get_context('spawn').Process(target=print).start()"):
            done = self.node.run("import multiprocessing, os, subprocess\ndef handler(e, c):\n for _ in range(2):\n"
                                 f"  try: {code}\n  except OSError as error: last = error.errno\n return last\n")
            self.assertEqual((done.stdout, done.stderr), ("11\n", line), code)
        done = self.node.run("import os\ndef handler(e, c):\n return os.system('true')\n")
        self.assertEqual((done.returncode, done.stderr), (0, line))
        self.assertNotEqual(done.stdout, "0\n")

    def test_null_call(self):
        code = "import ctypes\ndef handler(e, c):\n ctypes.CFUNCTYPE(None)(0)()\n"
        done = self.check(code, 139, "SIGSEGV: address 0x0")
        self.assertIn("in handler", done.stderr)

    def test_stray_read_names_the_module(self):
        code = "import ctypes\ndef handler(e, c):\n ctypes.string_at(8)\n"
        self.check(code, 139, r"libc\.so\.6\+0x")

    def test_illegal_instruction(self):
        # ud2 where the program has those two bytes by chance: its code is the only one there is.
        code = ("import ctypes, re, sys\n"
                "def handler(e, c):\n"
                " for line in open('/proc/self/maps'):\n"
                "  found = re.match(r'(\\w+)-(\\w+) r-x. (\\w+) .*/(python3[^/]*|libpython[^/]*)$', line.strip())\n"
                "  if not found: continue\n"
                "  begin, end = int(found[1], 16), int(found[2], 16)\n"
                "  at = begin + ctypes.string_at(begin, end - begin).find(b'\\x0f\\x0b')\n"
                "  if at < begin: continue\n"
                "  offset = at - begin + int(found[3], 16)\n"
                "  print(hex(at), f'{found[4]}+{offset:#x}', file=sys.stderr, flush=True)\n"
                "  ctypes.CFUNCTYPE(None)(at)()\n")
        done = self.check(code, 132, "SIGILL: address 0x")
        address, place = re.match(r"(0x\w+) (\S+)\n", done.stderr).groups()
        self.assertRegex(done.stderr, rf"(?m)^usetl: .*SIGILL: address {address}\b.*{re.escape(place)}\b")
        self.assertIn("in handler", done.stderr)

    def test_ten_thousand_open_files(self):
        code = "def handler(e, c):\n return len([open(f'/tmp/{i}', 'w') for i in range(10000)])\n"
        self.assertEqual(self.node.run(code).stdout, "10000\n")

    def test_full_file_region(self):
        code = "def handler(e, c):\n f = open('/tmp/x', 'wb')\n while True: f.write(bytes(1 << 20))\n"
        self.check(code, 1, "No space left")

    def test_results_that_cannot_be_written(self):
        path = pathlib.Path(self.node.directory) / "function.py"
        for code in ("def handler(e, c):\n return 1\n", "print(1)\n", "print('x' * 100000)\n"):
            path.write_text(code)
            for to, cause in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
                done = subprocess.run(["sh", "-c", f'exec "$@" {to}', "sh", BUILD / "usetl", "run", path, "--node",
                                       self.node.directory], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=60, check=False)
                self.assertEqual((done.returncode, done.stdout, done.stderr),
                                 (125, "", f"usetl: standard output: {cause}\n"), (code, to))

    def test_output_that_nobody_reads(self):
        reading, writing = os.pipe()
        os.close(reading)
        path = pathlib.Path(self.node.directory) / "function.py"
        path.write_text("print(1)\n")
        with open(writing, "wb") as closed:
            done = subprocess.run([BUILD / "usetl", "run", path, "--node", self.node.directory], stdout=closed,
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))

    def test_lists_that_cannot_be_written(self):
        for verb in ("ps", "inspect"):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([BUILD / "usetl", verb, "--node", self.node.directory], stdout=full,
                                      stderr=subprocess.PIPE, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (1, "usetl: standard output: No space left on device\n"))

    def test_much_output(self):
        code = "def handler(e, c):\n for _ in range(100): print('x' * 999999)\n"
        self.assertEqual(len(self.node.run(code).stdout), 100 * 1000000 + len("null\n"))


if __name__ == "__main__":
    in_network_namespace()
    unittest.main()
