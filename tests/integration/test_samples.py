"""The samples as manifests/samples/README.md runs them, against the same functions under plain Python."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from node import BUILD, NodeCase

SAMPLES = pathlib.Path("manifests/samples").resolve()
PLAIN = ("import json, sys\nmodule = __import__(sys.argv[1])\nevent = json.loads(sys.argv[2])\n"
         "result = module.main(event) if hasattr(module, 'main') else module.handler(event, None)\n"
         "print(json.dumps(result))\n")


class Samples(NodeCase):
    def setUp(self):
        sink = tempfile.TemporaryDirectory(prefix="usetl-test-")
        self.addCleanup(sink.cleanup)
        self.sink = pathlib.Path(sink.name)
        self.server = subprocess.Popen([sys.executable, SAMPLES / "server.py", "/usr/share/ieee-data", self.sink],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.terminate)
        self.origin = f"http://127.0.0.1:{int(self.server.stdout.readline())}"

    def stored(self) -> dict[str, bytes]:
        """What the sample sent, and makes room for the next one's."""
        files = {path.name: path.read_bytes() for path in self.sink.iterdir()}
        for name in files:
            (self.sink / name).unlink()
        return files

    def check(self, name: str) -> tuple[dict, dict[str, bytes]]:
        """The result and what was sent: the same both ways."""
        event = (SAMPLES / name / "event.json").read_text().replace("http://127.0.0.1:8000", self.origin)
        done = subprocess.run([BUILD / "usetl", "run", SAMPLES / name / f"{name}.py", "--node", self.node.directory,
                               "--event", event, "--allow", self.origin],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        stored = self.stored()
        paths = f"{SAMPLES}/plain:{SAMPLES / name}"
        plain = subprocess.run([sys.executable, "-c", PLAIN, name, event], env={**os.environ, "PYTHONPATH": paths},
                               capture_output=True, text=True, timeout=120, check=True)
        result = json.loads(done.stdout)
        self.assertEqual(result, json.loads(plain.stdout))
        self.assertEqual(stored, self.stored())
        return result, stored

    def test_csv2json(self):
        result, stored = self.check("csv2json")
        self.assertEqual(list(stored), ["oui.jsonl"])
        self.assertEqual(stored["oui.jsonl"].count(b"\n"), result["rows"])
        self.assertGreater(result["rows"], 1000)

    def test_oui(self):
        result, stored = self.check("oui")
        self.assertEqual(sorted(stored), ["organizations.jsonl", "top.json"])
        self.assertTrue(result)

    def test_wordcount(self):
        result, stored = self.check("wordcount")
        self.assertGreater(result["words"], result["distinct"])
        self.assertEqual(stored, {})


if __name__ == "__main__":
    unittest.main()
