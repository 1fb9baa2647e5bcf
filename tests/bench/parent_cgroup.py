"""A cgroup for the pods of a suite, as kubelet makes one, in every hierarchy."""

import os
import pathlib

from environment import wait_until


class Cgroup:
    """Below the root of each hierarchy, with all processors. close() removes it with what is below it."""

    def __init__(self):
        self.name = f"/usetl-bench-{os.getpid()}"
        mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        self.paths = [pathlib.Path(line.split()[4]) / self.name[1:] for line in mounts if " - cgroup" in line]
        for path in self.paths:
            path.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):
                above = path.parent / setting
                if above.exists():  # version 1 wants them before there are processes
                    (path / setting).write_text(above.read_text())

    def close(self) -> None:
        for path in self.paths:
            for directory, _, _ in os.walk(path, topdown=False):
                processes = pathlib.Path(directory) / "cgroup.procs"
                wait_until(lambda file=processes: not file.read_text())  # those that were killed, until they are gone
                os.rmdir(directory)
