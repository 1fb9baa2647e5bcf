"""Cgroups that tests make as kubelet does: in each hierarchy of this machine."""

import pathlib


def make_cgroup(parent: str) -> list[pathlib.Path]:
    """`parent` is a path in a hierarchy. The caller removes what is returned."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    made = [pathlib.Path(line.split()[4]) / parent.strip("/") for line in mounts if " - cgroup" in line]
    for path in made:
        path.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (path.parent / name).exists():
                (path / name).write_text((path.parent / name).read_text())
    return made


def removed(cgroup: pathlib.Path) -> bool:
    """Removes it when no process is in it any more."""
    try:
        cgroup.rmdir()
    except OSError:
        return False
    return True
