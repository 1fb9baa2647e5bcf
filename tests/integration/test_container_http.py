"""Containers that serve HTTP."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from cgroups import removed
from container_case import COMPLETED, FAILED, STARTED, Container, ContainerCase
from node import SANITIZED, wait_until

TAKEN = ("port 8080: Address already in use by another container of the pod; name another port as containerPort or in "
         "PORT")

# A client in the pod's network: 8 connections at a time, 40 requests on each; every seventh fails.
CLIENT = """
import http.client, json, threading

wrong = []

def ask(name):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    for n in range(40):
        event = {"name": name, "n": n, "text": "x" * (n * 311)}
        connection.request("POST", "/", json.dumps(event), {"content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if n % 7 == 6:
            good = answer.status == 500
        else:
            large = n % 7 == 3
            good = answer.status == 200 and json.loads(body) == [
                name, n, len(event["text"]), f"{name}.{n}" * (20_000 if large else 1)]
        if not good:
            wrong.append((name, n, answer.status, body[:100]))

threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(wrong)
"""


class Http(ContainerCase):
    CODE = "def handler(event, context):\n  return 1\n"

    def test_started_and_stopped(self):
        container = self.container(self.CODE, mode="http", ports=[8080])
        started = container.started()
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(self.pod.connect(8080, host), 0)
        self.assertEqual(os.readlink(f"/proc/{started['worker']}/ns/net"),
                         os.readlink(f"/proc/{self.pod.process.pid}/ns/net"))
        self.assertIn("usetl-usf", os.readlink(f"/proc/{started['usf']}/exe"))
        container.stop(30000)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (0, COMPLETED), end)

    @unittest.skipUnless(os.path.isdir("/sys/fs/cgroup/pids"), "no hierarchy of version 1")
    def test_worker_and_usf_enter_the_cgroup(self):
        group = pathlib.Path(f"/sys/fs/cgroup/pids/usetl-test-{os.getpid()}")
        group.mkdir()
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        container = self.container(self.CODE, mode="http", cgroups=(str(group / "tasks"),), usf_cgroups=1)
        started = container.started()
        processes = {str(started["worker"]), str(started["usf"])}
        wait_until(lambda: set((group / "cgroup.procs").read_text().split()) == processes)
        container.stop(0)
        container.end()
        self.assertNotIn(str(started["usf"]), (group / "cgroup.procs").read_text().split())
        self.assertTrue(os.path.exists(f"/proc/{started['usf']}"))

    @unittest.skipUnless(os.path.isdir("/sys/fs/cgroup/pids"), "no hierarchy of version 1")
    def test_worker_alone_enters_the_cgroup(self):
        group = pathlib.Path(f"/sys/fs/cgroup/pids/usetl-test-{os.getpid()}")
        group.mkdir()
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        container = self.container(self.CODE, mode="http", cgroups=(str(group / "tasks"),))
        worker = container.started()["worker"]
        wait_until(lambda: (group / "cgroup.procs").read_text().split() == [str(worker)])
        container.stop(0)
        container.end()

    def test_cgroup_that_is_none(self):
        self.assertIn("no such cgroup", self.container(self.CODE, usf_cgroups=1).receive()["text"])

    @unittest.skipUnless(os.path.isdir("/sys/fs/cgroup/unified"), "no hierarchy of version 2")
    def test_version_2_keeps_the_usf(self):
        group = pathlib.Path(f"/sys/fs/cgroup/unified/usetl-test-{os.getpid()}")
        group.mkdir()
        self.addCleanup(lambda: wait_until(lambda: removed(group)))
        container = self.container(self.CODE, mode="http", cgroups=(str(group / "cgroup.procs"),), usf_cgroups=1)
        started = container.started()
        processes = {str(started["worker"]), str(started["usf"])}
        wait_until(lambda: set((group / "cgroup.procs").read_text().split()) == processes)
        container.stop(0)
        container.end()
        self.assertFalse(os.path.exists(f"/proc/{started['usf']}"), "its memory is charged there")

    def test_port_taken(self):
        first = self.container(self.CODE, mode="http", ports=[8080])
        first.started()
        with tempfile.TemporaryDirectory() as directory:
            second = Container(self.node, self.pod, directory, self.CODE, mode="http", ports=[8080])
            self.assertEqual(second.receive()["text"], TAKEN)
            second.connection.close()
        first.stop(0)
        first.end()

    def test_port_taken_while_both_load(self):
        both = []
        for _ in range(2):  # bound, and not listening yet
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            both.append(Container(self.node, self.pod, directory.name, "import time\ntime.sleep(1)\n" + self.CODE,
                                  mode="http", ports=[8080]))
            self.addCleanup(both[-1].connection.close)
        answers = [container.receive() for container in both]
        self.assertEqual({answer["type"] for answer in answers}, {STARTED, FAILED}, answers)
        for container, answer in zip(both, answers):
            if answer["type"] == FAILED:
                self.assertEqual(answer["text"], TAKEN)
            else:
                self.assertEqual(self.pod.connect(8080), 0)
                container.stop(0)
                container.end()

    def test_each_client_gets_its_own_answers(self):
        container = self.container("def handler(event, context):\n"
                                   "  if event['n'] % 7 == 6: raise ValueError(event['n'])\n"
                                   "  times = 20_000 if event['n'] % 7 == 3 else 1\n"
                                   "  return [event['name'], event['n'], len(event['text']),\n"
                                   "          f\"{event['name']}.{event['n']}\" * times]\n",
                                   mode="http", ports=[8080])
        container.started()
        said = subprocess.check_output(["nsenter", "--net=/proc/%d/ns/net" % self.pod.process.pid,
                                        "/usr/bin/python3.11", "-c", CLIENT], text=True, timeout=120)
        self.assertEqual(said, "[]\n")
        container.stop(30000)
        self.assertEqual(container.end()["code"], 0)

    def test_the_file_says_what_it_is(self):
        container = self.container("def handler(event, context):\n  return [event]\n", mode="auto", ports=[8080])
        container.started()
        code = ("import urllib.request as u\n"
                "r = u.Request('http://127.0.0.1:8080/', b'{\"a\": 1}', {'content-type': 'application/json'})\n"
                "print(u.urlopen(r, timeout=60).read().decode())\n")
        said = subprocess.check_output(["nsenter", "--net=/proc/%d/ns/net" % self.pod.process.pid,
                                        "/usr/bin/python3.11", "-c", code], text=True, timeout=120)
        self.assertEqual(said.replace(" ", ""), '[{"a":1}]\n')
        container.stop(30000)
        self.assertEqual(container.end()["reason"], COMPLETED)

    def test_script_is_no_server(self):
        message = self.container("print(1)\nif __name__ == '__main__':\n  pass\n", mode="http").receive()
        self.assertEqual(message["type"], FAILED)

    @staticmethod
    def private_kilobytes(process: int) -> int:
        """Memory of its own. Pages of a program that was just written count as dirty too: not them."""
        smaps = pathlib.Path(f"/proc/{process}/smaps").read_text()
        dirty, anonymous = (re.findall(rf"^{name}: +(\d+) kB$", smaps, re.M) for name in ("Private_Dirty", "Anonymous"))
        return sum(min(int(a), int(b)) for a, b in zip(dirty, anonymous))

    @unittest.skipIf(SANITIZED, "the sanitizer's memory is larger than the worker's")
    def test_worker_is_small(self):
        container = self.container(self.CODE, mode="http", ports=[8080])
        worker = container.started()["worker"]
        # It gives back what the start needed once it has answered.
        wait_until(lambda: self.private_kilobytes(worker) < 250)  # 124
        container.stop(0)
        container.end()


if __name__ == "__main__":
    unittest.main()
