"""What the machine's memory is used for, from /proc/meminfo and smaps; all in MB."""

import pathlib
import re

# Lines of /proc/meminfo in which the kernel's own use shows.
KERNEL_LINES = ("SUnreclaim", "SReclaimable", "PageTables", "SecPageTables", "KernelStack", "Percpu", "VmallocUsed")


def meminfo() -> dict[str, float]:
    text = pathlib.Path("/proc/meminfo").read_text()
    return {name: int(kb) / 1024 for name, kb in re.findall(r"^(\w+(?:\(\w+\))?):\s+(\d+)", text, re.MULTILINE)}


def in_use(info: dict[str, float]) -> float:
    """All but what is free or could be dropped: clean page cache, reclaimable slab."""
    return info["MemTotal"] - info["MemFree"] - info["Buffers"] - (info["Cached"] - info["Shmem"]) \
        - info["SReclaimable"]


def of_kernel(info: dict[str, float]) -> float:
    """What neither a process nor a file has: slab, stacks, per-CPU data and pages that no line of meminfo names.

    Page tables of processes are left out: they are counted with the processes. Shadow pages of KVM are in, whether
    the kernel lists them (SecPageTables) or not.
    """
    return in_use(info) - info["AnonPages"] - info["Shmem"] - info["PageTables"]


def of_process(pid: int) -> dict[str, float]:
    """Private pages (the guest's among them) and page tables."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    private = sum(int(n) for n in re.findall(r"Private_\w+:\s+(\d+) kB", rollup)) / 1024
    # What is private and not anonymous lies in the regions and the control window: shared-memory files.
    return {"private": private, "in_files": private - int(re.search(r"Anonymous:\s+(\d+)", rollup).group(1)) / 1024,
            "page_tables": int(re.search(r"VmPTE:\s+(\d+)", status).group(1)) / 1024}


def uid(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"Uid:\s+(\d+)", status).group(1))
