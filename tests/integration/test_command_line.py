"""Command lines that are wrong: one line that says what and where to read on, and status 2."""

import re
import subprocess
import unittest

from node import BUILD


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([BUILD / words[0], *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)


class CommandLines(unittest.TestCase):
    def check(self, command: str, expected: str) -> None:
        done = run(*command.split())
        self.assertEqual((done.returncode, done.stdout), (2, ""), command)
        self.assertRegex(done.stderr, rf"\A{expected}\n\Z", command)

    def test_unknown_options(self):
        for name in ("usetl", "usetl up", "usetl ps", "usetl inspect", "usetl bake", "usetl doctor", "usetl image ls",
                     "usetl-vmmd", "usetl-proxy", "usetld"):
            self.check(f"{name} --nonsense", f"{name.split()[0]}: .*--nonsense; see {name} --help")
        self.check("usetl run f.py --nonsense", "usetl: .*--nonsense; see usetl run --help")
        self.check("usetl run --pod - --nonsense", "usetl: .*--nonsense; see usetl run --pod --help")

    def test_what_is_missing(self):
        self.check("usetl", "usetl: a verb is missing; verbs are run, .*; see usetl --help")
        self.check("usetl run", "usetl: function is required; see usetl run --help")
        self.check("usetl image", "usetl: a subcommand is required; see usetl image --help")
        self.check("usetl image rm", "usetl: name is required; see usetl image rm --help")
        self.check("usetl bake", "usetl: bake what.*; see usetl bake --help")

    def test_words_that_are_too_many_where_one_is_missing(self):
        unknown = "usetl: the following argument was not expected: frob"
        self.check("usetl image frob", f"{unknown}; see usetl image --help")
        for command in ("usetl run", "usetl run --pod=", "usetl image rm"):
            name = command.rstrip("=")
            self.check(f"{name} --frob", f"{unknown.replace('frob', '--frob')}; see {name} --help")

    def test_empty_paths(self):
        for words in ("up --node", "up --runtimes", "up --cri --images", "run f.py --node", "ps --node", "inspect --node",
                      "image --node", "image ls --store", "run --pod - --logs"):
            done = run("usetl", *words.split(), "")
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertRegex(done.stderr, rf"^usetl: {words.split()[-1]}: wants a path; see usetl ", words)

    def test_help_of_lists(self):
        for option in ("--allow", "--env"):
            self.assertRegex(run("usetl", "run", "--help").stdout, rf"{option} [^-]*; may be repeated\n")

    def test_version(self):
        version = re.search(r"^CMAKE_PROJECT_VERSION:\w+=(.+)", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
        for program in ("usetl", "usetl-vmmd", "usetl-proxy", "usetld", "usetl-bake", "usetl-image", "usetl-pod",
                        "usetl-usf"):
            done = run(program, "--version")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{program} {version}\n", ""))
        self.check("usetl ps --version", "usetl: .*--version.*; see usetl ps --help")

    def test_help_of_images(self):
        for verb in ("pull", "import", "bake", "ls", "rm", "gc"):
            done = run("usetl", "image", verb, "--help")
            self.assertIn("--node ", done.stdout)
            self.assertIn("--store ", done.stdout)
            sizes = re.findall(r"--max-unpacked .*=(\w+)\n", done.stdout)
            self.assertEqual(sizes, ["16G"] if verb in ("pull", "import", "bake") else [], done.stdout)
        for words in ("ls --node /none --store /none", "--node /none --store /none ls"):
            self.check(f"usetl image {words}", "usetl: .*excludes.*")

    def test_help_hides_what_programs_tell_each_other(self):
        done = run("usetl", "bake", "--help")
        self.assertIn("--runtimes", done.stdout)
        for option in ("--layer", "--env", "--follow"):
            self.assertNotIn(option, done.stdout)

    def test_directory_for_a_function(self):
        for path in ("/usr", "/usr/"):
            done = run("usetl", "run", "--node", "/none", path)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (2, "", f"usetl: {path} is a directory; pass the function's file, such as /usr/main.py\n"))

    def test_values(self):
        for pool in ("many", "100000", "4097", "2x", "-1", "1e3"):
            self.check(f"usetl up --pool={pool}", "usetl: --pool: wants a number from 0 to 4096; see usetl up --help")
        self.check("usetl run f.py --timeout 3weeks", "usetl: .*weeks.*; see usetl run --help")

    def test_times(self):
        for time in ("0", "0s", "-1", "-2m", "0.4ms", "1001h", "1e300"):
            self.check(f"usetl run f.py --timeout {time}",
                       r"usetl: --timeout: wants a time from 1ms to 1000h; see usetl run --help")
        for time in ("1ms", "1.5", "90s", "2m", "1h", "1000h"):
            done = run("usetl", "run", "--node", "/none", "--timeout", time, "/none.py")
            self.assertEqual(done.stderr, "usetl: /none.py: No such file or directory\n", time)

    def test_output_that_cannot_be_written(self):
        for words in (["--help"], ["run", "--help"], ["image", "--help"], ["run", "--pod", "--help"], ["doctor"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([BUILD / "usetl", *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (1, "usetl: standard output: No space left on device\n"))

    def test_help_is_plain(self):
        for command in ("usetl run", "usetl up", "usetl-vmmd"):
            done = run(*command.split(), "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertIn("--no-huge-pages ", done.stdout, command)
            self.assertNotIn("{", done.stdout, command)
        self.assertRegex(run("usetl", "--help").stdout, "bake .* or of an image")

    def test_arguments_without_the_dashes_before_them(self):
        stray = r'usetl: "a" is no option; arguments of the function stand behind --; see usetl run --help'
        for words in ("f.py a", "f.py a -- b", "f.py a --event 1 -- b c"):
            self.check(f"usetl run {words}", stray)

    def test_lists_leave_what_follows(self):
        for option in ("--allow http://127.0.0.1", "--env A=b", "--objects a=/b"):
            done = run("usetl", "run", "--node", "/none", *option.split(), "/none.py")
            self.assertEqual(done.stderr, "usetl: /none.py: No such file or directory\n", option)


if __name__ == "__main__":
    unittest.main()
