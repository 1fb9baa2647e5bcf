"""Disks that are full, files that are damaged or gone: clear errors, and nothing is forgotten."""

import pathlib
import shutil
import sqlite3
import subprocess

import grpc
from cri_case import EXITED, CriCase
from node import start_daemon, wait_until


class FullDisk(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.state = cls.directory / "state"
        cls.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", cls.state], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", cls.state], check=True)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.make_room)

    def make_room(self) -> None:
        (self.state / "ballast").unlink(missing_ok=True)

    def fill(self) -> None:
        with open(self.state / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def test_nothing_new_until_there_is_room(self):
        pod = self.run_pod()
        created = self.create(pod, "created")
        self.fill()
        full = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.assert_fails(full, "state.db: database or disk is full", self.run_pod, name="other")
        self.assert_fails(full, "state.db: database or disk is full", self.create, pod=pod)
        self.assert_fails(full, "disk is full|No space left", self.client.StartContainer, container_id=created)
        self.assertEqual([item.id for item in self.client.ListPodSandbox().items], [pod])
        self.assertEqual(len(list(self.directory.glob("netns/*"))), 1)
        self.make_room()
        self.run_pod("other")
        self.pod.metadata.name = "pod"
        self.run_container(pod)

    def test_an_exit_is_not_forgotten(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        self.fill()
        self.post(pod, {"die": 1})
        status = self.wait_exited(container)
        self.assertEqual((status.exit_code, status.reason), (134, "Error"))
        self.stop(container, 30)
        self.kill()
        self.make_room()
        self.start()
        self.assertEqual((self.status(container).exit_code, self.status(container).message),
                         (134, status.message))


class Logs(CriCase):
    def test_directory_is_removed(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        log = pathlib.Path(self.status(container).log_path)
        with open(log) as removed:
            shutil.rmtree(log.parent)
            self.assertIn("unseen", self.post(pod, {"name": "unseen"}))
            wait_until(lambda: "unseen" in removed.read())  # the log's thread has written it
        self.client.ReopenContainerLog(container_id=container)
        self.post(pod, {"name": "seen"})
        wait_until(lambda: "called seen" in log.read_text())
        self.assertNotIn("unseen", log.read_text())
        shutil.rmtree(log.parent)
        self.stop(container, 30)
        self.assertEqual(self.status(container).exit_code, 0)

    def test_directory_is_none(self):
        pod = self.run_pod("file")
        (self.directory / "logs").mkdir(exist_ok=True)
        (self.directory / "logs/file").write_text("")
        container = self.create(pod)
        with self.assertRaisesRegex(grpc.RpcError, "open the log .*/logs/file/function.log: Not a directory"):
            self.client.StartContainer(container_id=container)
        self.assertEqual((self.status(container).state, self.status(container).reason), (EXITED, "StartError"))
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "does not run", self.client.ReopenContainerLog,
                          container_id=container)

    def test_reopening_fails_and_leaves_no_file(self):
        pod = self.run_pod()
        container = self.run_container(pod)
        log = pathlib.Path(self.status(container).log_path)
        shutil.rmtree(log.parent)
        log.parent.write_text("")
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "open the log .*Not a directory", self.client.ReopenContainerLog,
                          container_id=container)
        log.parent.unlink()
        self.client.ReopenContainerLog(container_id=container)
        self.assertTrue(log.exists())


class Database(CriCase):
    """A damaged database is an error that says what to do; nobody empties it."""

    def damage(self, change, message: str) -> None:
        pod = self.run_pod()
        state, saved = self.directory / "state", self.directory / "saved"
        self.usetld.terminate()  # in good order: all is in one file
        self.usetld.wait()
        self.client.close()
        shutil.copytree(state, saved)
        try:
            change(state / "state.db")
            self.refuses_to_start(state, message)
        finally:
            shutil.rmtree(state)
            saved.rename(state)
            self.start()
        self.assertEqual([item.id for item in self.client.ListPodSandbox().items], [pod])

    def refuses_to_start(self, state: pathlib.Path, message: str) -> None:
        before = (state / "state.db").read_bytes()
        for _ in range(2):
            daemon, said = start_daemon(
                self, "usetld", "--socket", f"{self.directory}/other.sock", "--state", f"{state}", "--images",
                f"{self.directory}/images", "--namespaces", f"{self.directory}/netns", "--no-network")
            self.assertRegex(said, message)
            self.assertEqual(daemon.wait(), 1)
        self.assertEqual((state / "state.db").read_bytes(), before)

    ADVICE = "stop all pods, move the file away and start the node again: usetl up --cri"

    def test_no_database(self):
        self.damage(lambda path: path.write_bytes(b"x" * 8192), f"not a database; {self.ADVICE}")

    def test_empty(self):
        self.damage(lambda path: path.write_bytes(b""), f"is empty; {self.ADVICE}")

    def test_cut_off(self):
        self.damage(lambda path: path.write_bytes(path.read_bytes()[:4096]), f"(is damaged: |malformed).*{self.ADVICE}")

    def test_a_page_is_overwritten(self):
        def change(path):
            data = bytearray(path.read_bytes())
            data[4096:4160] = bytes(range(64))
            path.write_bytes(data)
        self.damage(change, f"state.db is damaged: .*; {self.ADVICE}")

    def run_sql(self, path: pathlib.Path, text: str) -> None:
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(text)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def test_a_record_is_damaged(self):
        self.damage(lambda path: self.run_sql(path, "UPDATE record SET value = x'0aff'"),
                    "the record of [0-9a-f]{64} in the database is damaged; stop all pods")

    def test_of_a_newer_usetld(self):
        self.damage(lambda path: self.run_sql(path, "PRAGMA user_version = 99"),
                    r"was written by a newer usetld \(version 99\); install that one")
