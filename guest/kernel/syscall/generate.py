"""Makes the dispatch table and the documentation out of syscalls.tbl."""

import argparse


def rows(path: str):
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            number, name, status, *note = line.split(None, 3)
            if status not in ("full", "partial", "fixed"):
                raise SystemExit(f"{path}: {name}: unknown status {status!r}")
            yield int(number), name, status, note[0] if note else ""


def header(path: str) -> str:
    return "".join(f"USETL_SYSCALL({n}, {name})\n" for n, name, _, _ in rows(path))


def documentation(path: str) -> str:
    lines = [
        "# System calls of the guest",
        "",
        "Made from `guest/kernel/syscall/syscalls.tbl` by `generate.py`. What is not listed answers",
        "ENOSYS and is counted (`usetl inspect`).",
        "",
        "| number | name | status | note |",
        "| ---: | --- | --- | --- |",
    ]
    lines += [f"| {n} | {name} | {status} | {note} |" for n, name, status, note in rows(path)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--header", help="write the dispatch table here")
    parser.add_argument("--docs", help="write the documentation here")
    options = parser.parse_args()
    for path, make in ((options.header, header), (options.docs, documentation)):
        if path:
            with open(path, "w", encoding="utf-8") as out:
                out.write(make(options.table))


if __name__ == "__main__":
    main()
