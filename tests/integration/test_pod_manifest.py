"""usetl run --pod: a Kubernetes manifest on a node without a cluster."""

import json
import signal
import subprocess
import unittest

from image_file import add_image
from node import BUILD, Node, wait_until

FUNCTION = """
import os
print("loaded", os.environ["WHO"], flush=True)
def handler(event, context):
    return event
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


class PodManifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--cri", "--no-network", pool=4)
        cls.addClassCleanup(cls.node.close)
        files = {"function/main.py": FUNCTION, "function/job.py": "print('job done')\n",
                 "function/fails.py": "import sys\nsys.exit(7)\n"}
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

    def test_exit_status(self):
        done = self.run_pod(POD.replace("job.py", "fails.py").replace("    - name: web\n      image: localhost/web:1\n"
                            "      env: [{name: WHO, value: web}]\n", ""))
        self.assertEqual((done.returncode, done.stdout), (7, ""))

    def test_what_is_wrong(self):
        done = self.run_pod(POD.replace("localhost/web:1", "localhost/none:1").replace(
            "      env", "      imagePullPolicy: Never\n      env"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[-1],
                         "usetl: the image localhost/none:1 is not there; usetl image pull, or import")
        done = self.run_pod(POD.replace("spec:", "spec:\n  hostNetwork: true"))
        self.assertIn("hostNetwork is not supported", done.stderr)
        done = self.run_pod("kind: Service")
        self.assertEqual(done.stderr, "usetl: -: there is no document with kind: Pod\n")
        pods = json.loads(self.node.usetl("inspect").stdout)
        wait_until(lambda: json.loads(self.node.usetl("inspect").stdout)["claimed"] == 0)
        self.assertEqual(pods["runtime"], "python3.11")


if __name__ == "__main__":
    unittest.main()
