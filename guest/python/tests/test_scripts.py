"""Scripts run to completion, as under `python3 script.py`."""

from __future__ import annotations

import gzip
import lzma
import zipfile

from tests.harness import AgentTest


class ScriptTest(AgentTest):
    def run_script(self, source: str, **order: object) -> tuple[int, str, str]:
        agent = self.loaded(source, mode="script", **order)
        self.assertEqual(agent.output(), "")
        answer = agent.invoke()
        self.assertTrue(answer["ok"], answer)
        self.assertFalse(agent.invoke()["ok"])  # once
        return answer["exit"], agent.output(), agent.errors()

    def test_arguments_environment_and_input(self) -> None:
        (self.folder / "in.txt").write_text("zwei\ndrei")
        source = """
            import os, sys
            print(__name__, sys.argv[1:], os.environ["K"], sys.stdin.read().split(), os.read(0, 9))
            import __main__
            print(__main__.__file__ == __file__ == sys.argv[0])
            """
        status, output, _ = self.run_script(
            source, argv=["a", "b"], env={"K": "v"}, stdin=str(self.folder / "in.txt")
        )
        self.assertEqual(status, 0)
        self.assertEqual(output, "__main__ ['a', 'b'] v ['zwei', 'drei'] b''\nTrue\n")

    def test_what_starts_a_process_is_what_it_was(self) -> None:
        source = """
            import os, pickle
            class Runner:
                run = os.system
            print(Runner().run is os.system, pickle.loads(pickle.dumps(os.fork)) is os.fork, os.system.__name__)
            """
        self.assertEqual(self.run_script(source)[:2], (0, "True True system\n"))

    def test_decorated_handler_was_perhaps_called(self) -> None:
        source = "import atexit\n@atexit.register\ndef handler(event=None, context=None):\n    print('called')\n"
        self.assertEqual(self.run_script(source)[2], "")

    def test_exit_status(self) -> None:
        for argument, status in {"": 0, "None": 0, "3": 3, "256": 0, "-1": 255, "True": 1}.items():
            result = self.run_script(f"import sys\nsys.exit({argument})")[0]
            self.assertEqual(result, status, argument)
        status, _, errors = self.run_script("import sys\nsys.exit('no luck')")
        self.assertEqual((status, errors), (1, "no luck\n"))

    def test_uncaught_exception(self) -> None:
        status, output, errors = self.run_script("print('before')\ndef f():\n    1 / 0\nf()\n")
        self.assertEqual((status, output), (1, "before\n"))
        self.assertIn(f'File "{self.folder}/x.py", line 3, in f', errors)
        self.assertIn("ZeroDivisionError", errors)
        self.assertNotIn("_script.py", errors)

    def test_out_of_memory(self) -> None:
        agent = self.loaded("try:\n    b'x' * 2**60\nexcept MemoryError:\n    pass\n", mode="script")
        self.assertEqual(agent.invoke(), {"ok": True, "exit": 0})
        agent = self.loaded("b'x' * 2**60\n", mode="script")
        self.assertEqual(agent.invoke(), {"ok": True, "exit": 1, "out_of_memory": True})
        self.assertIn("MemoryError", agent.errors())

    def test_out_of_memory_in_other_ways(self) -> None:
        more = "b'x' * 2**60"
        for source in (
            f"import sys\nsys.excepthook = lambda *_: {more}\n{more}\n",
            f"try:\n    {more}\nexcept MemoryError as error:\n"
            "    raise ExceptionGroup('a', [ValueError(), ExceptionGroup('b', [error])])\n",
        ):
            agent = self.loaded(source, mode="script")
            self.assertEqual(agent.invoke(), {"ok": True, "exit": 1, "out_of_memory": True})
            self.assertIn("MemoryError", agent.errors())
        agent = self.loaded(f"import atexit\natexit.register(lambda: {more})\n", mode="script")
        self.assertEqual(agent.invoke(), {"ok": True, "exit": 0})

    def test_handler_that_nothing_calls(self) -> None:
        hint = 'usetl: x.py defines %s and was run as a script.*\\["x.py"\\] of a pod serves it'
        for source, name in (
            ("def handler(event, context):\n    return 1\n", "handler"),
            ("import json\nprint('loaded')\nasync def main(event): ...\n", "main"),
            ("class A:\n    def __call__(self, event): ...\nhandle = A()\n", "handle"),
        ):
            status, _, errors = self.run_script(source)
            self.assertEqual(status, 0)
            self.assertRegex(errors, f"^{hint % name}.*\n$")

    def test_application_that_nobody_serves(self) -> None:
        for source in (
            "async def app(scope, receive, send): ...\n",
            "class A:\n    def __call__(self, environ, start_response): ...\napp = A()\n",
        ):
            status, _, errors = self.run_script(source)
            self.assertEqual(status, 0)
            self.assertRegex(errors, "^usetl: x.py was run as a script; .* usetl.dev/handler: x:app serves its app\n$")

    def test_scripts_that_are_none_of_handlers(self) -> None:
        for source in (
            "def main():\n    print(1)\nmain()\n",
            "def main(): ...\ndef run():\n    main()\nrun()\n",
            "def main(): ...\nif __name__ == '__main__':\n    print(1)\n",
            "handler = None\n",
            "app = {}\n",
            "class A:\n    def __getattr__(self, name):\n        raise RuntimeError\napp = A()\n",
            "import sys, types\nsys.modules['shop'] = shop = types.ModuleType('shop')\n"
            "async def made(scope, receive, send): ...\nshop.app = made\nfrom shop import app\n",
            "import sys\ndef handler(event, context): ...\nsys.exit(0)\n",
            "def handler(event, context): ...\nTABLE = {'a': handler}\n",
        ):
            self.assertEqual(self.run_script(source)[::2], (0, ""), source)

    def test_excepthook_that_fails(self) -> None:
        source = "import sys\ndef hook(*_):\n    raise KeyError('mine')\nsys.excepthook = hook\n1 / 0\n"
        status, _, errors = self.run_script(source)
        self.assertEqual(status, 1)
        self.assertRegex(errors, "(?s)Error in sys.excepthook:.*KeyError.*Original exception was:.*ZeroDivisionError")
        self.assertNotIn("_script.py", errors)
        status, _, errors = self.run_script("import sys\nsys.excepthook = lambda *_: sys.exit(7)\n1 / 0\n")
        self.assertEqual((status, errors), (7, ""))

    def test_end_waits_for_threads_and_exit_handlers(self) -> None:
        source = """
            import atexit, threading, time
            from concurrent.futures import ThreadPoolExecutor
            def late():
                time.sleep(0.2)
                print("thread")
            atexit.register(print, "exit", end="")
            threading.Thread(target=late).start()
            ThreadPoolExecutor(1).submit(print, "pool")
            raise SystemExit(4)
            """
        status, output, _ = self.run_script(source)
        self.assertEqual((status, output), (4, "pool\nthread\nexit"))

    def test_files_left_open_are_complete(self) -> None:
        source = """
            import gzip, zipfile
            text = open("text", "w"); text.write("one")
            squeezed = gzip.open("text.gz", "wt"); squeezed.write("two")
            archive = zipfile.ZipFile("text.zip", "w"); archive.writestr("name", "three")
            def use(): return text, squeezed, archive
            """
        self.assertEqual(self.run_script(source), (0, "", ""))
        self.assertEqual((self.folder / "text").read_text(), "one")
        self.assertEqual(gzip.decompress((self.folder / "text.gz").read_bytes()), b"two")
        self.assertEqual(zipfile.ZipFile(self.folder / "text.zip").read("name"), b"three")

    def test_compressed_files_end_before_those_that_they_are_in(self) -> None:
        source = """
            import gzip, lzma
            class Log:
                def __init__(self): self.file = gzip.open("log.gz", "wb")
                def __del__(self): self.file.write(b"footer")
            log = Log()
            log.file.write(b"head ")
            twice = gzip.open(lzma.open("twice", "wb"), "wb")
            twice.write(b"all")
            def use(): return log, twice
            """
        self.assertEqual(self.run_script(source), (0, "", ""))
        self.assertEqual(gzip.decompress((self.folder / "log.gz").read_bytes()), b"head footer")
        inner = lzma.decompress((self.folder / "twice").read_bytes())
        self.assertEqual(gzip.decompress(inner), b"all")

    def test_what_cannot_be_completed_is_no_failure(self) -> None:
        source = """
            import gzip, sys
            errors = []
            try:
                gzip.GzipFile("no/such/file")
            except OSError as error:
                errors.append(error)
            class Bad(gzip.GzipFile):
                def close(self): raise RuntimeError("no")
            bad = Bad("bad.gz", "wb")
            sys.stdout = None
            text = open("text", "w"); text.write("one")
            def use(): return bad, text
            """
        status, _, _ = self.run_script(source)
        self.assertEqual(status, 0)
        self.assertEqual((self.folder / "text").read_text(), "one")

    def test_a_thread_that_holds_a_file_is_not_waited_for(self) -> None:
        source = """
            import os, threading, time
            reading, writing = os.pipe()
            pipe = open(writing, "wb")
            threading.Thread(target=lambda: pipe.write(b"x" * 1_000_000), daemon=True).start()
            time.sleep(0.2)
            text = open("text", "w"); text.write("one")
            """
        self.assertEqual(self.run_script(source), (0, "", ""))
        self.assertEqual((self.folder / "text").read_text(), "one")

    def test_what_is_finalized_sees_its_module(self) -> None:
        (self.folder / "mine.py").write_text(
            "WORD = 'still here'\nclass Kept:\n def __del__(self): print(WORD)\nkept = Kept()\n"
        )
        self.assertEqual(self.run_script("import mine"), (0, "still here\n", ""))

    def test_daemons_do_not_lose_their_modules(self) -> None:
        source = """
            import threading, time
            file = open("text", "w"); file.write("all")
            def run():
                while True:
                    time.sleep(0.001)
                    file.name
            threading.Thread(target=run, daemon=True).start()
            """
        self.assertEqual(self.run_script(source), (0, "", ""))
        self.assertEqual((self.folder / "text").read_text(), "all")

    def test_interrupt(self) -> None:
        source = "import signal\nsignal.raise_signal(signal.SIGINT)"
        status, _, errors = self.run_script(source)
        self.assertEqual(status, 130)
        self.assertIn("KeyboardInterrupt", errors)


class AutoTest(AgentTest):
    def kind(self, source: str) -> str | None:
        answer = self.agent().load(self.file(source), mode="auto")
        self.assertTrue(answer["ok"], answer)
        return answer["handler"]

    def test_decision(self) -> None:
        guard = "if __name__ == '__main__':\n    {}\n"
        self.assertEqual(self.kind("def handler(e, c): pass"), "handler")
        self.assertEqual(self.kind("async def main(event): pass"), "main")
        self.assertEqual(self.kind("handle = lambda e: e"), "handle")
        self.assertEqual(self.kind("def handler(e, c): 0\n" + guard.format("1 / 0")), "handler")
        self.assertEqual(self.kind("def main(event): 0\n" + guard.format("1 / 0")), "main")
        self.assertIsNone(self.kind("print('script')"))
        self.assertIsNone(self.kind("def main(): 0\n" + guard.format("main()")))
        self.assertIsNone(self.kind("def main(argv=None): 0\n" + guard.format("main()")))
        self.assertIsNone(self.kind("def f(): handler()"))

    def test_script_runs_once_and_late(self) -> None:
        agent = self.loaded("print('ran')", mode="auto")
        self.assertEqual(agent.output(), "")
        self.assertEqual(agent.invoke(), {"ok": True, "exit": 0})
        self.assertEqual(agent.output(), "ran\n")
