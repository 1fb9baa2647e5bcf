"""Processes of this machine as /proc tells of them; each may end while it is looked at."""

import os
import pathlib


def _read(pid: int, name: str) -> str:
    """Empty when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def descendants(pid: int) -> list[int]:
    every = children(pid)
    return every + [process for child in every for process in descendants(child)]


def name(pid: int) -> str:
    return _read(pid, "comm").strip()


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines() if ":\t" in line)


def ended(pid: int) -> bool:
    """Also when nobody has waited for it: that is up to whoever inherits it."""
    return status_of(pid).get("State", "X")[0] in "XZ"


def cpu_seconds(pid: int) -> float:
    ticks = _read(pid, "stat").rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
