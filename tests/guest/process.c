// process.c: what a process can ask about itself; and that a USF says no to a second one.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char** environ;
static const char* program;

static void identity(void) {
  struct utsname name;
  CHECK(getpid() > 0 && getpid() == getpid() && syscall(SYS_gettid) == getpid());
  CHECK(getuid() == geteuid() && getgid() == getegid() && getppid() >= 0);
  CHECK(uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0);
  CHECK(strcmp(name.machine, "x86_64") == 0 && name.release[0] >= '4' && name.nodename[0] != 0);
}

static void resources(void) {
  struct rusage usage;
  struct rlimit limit;
  struct sysinfo info;
  CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0);
  CHECK(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec >= 0);
  CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 64 << 10);
  CHECK(prlimit(0, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur >= 256);
  CHECK_ERRNO(getrlimit(999, &limit), EINVAL);
  CHECK(sysinfo(&info) == 0 && info.totalram > 0 && info.mem_unit > 0);
  CHECK(sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) != 0);
}

static void processors(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1);
  CHECK(sched_yield() == 0 && sched_getcpu() >= 0);
}

static void randomness(void) {
  unsigned char one[64] = {0}, two[64] = {0};
  CHECK(getrandom(one, sizeof one, 0) == sizeof one && getrandom(two, sizeof two, 0) == 64);
  CHECK(memcmp(one, two, sizeof one) != 0 && getrandom(one, 8, GRND_NONBLOCK) == 8);
  static unsigned char large[100000];
  CHECK(getrandom(large, sizeof large, 0) == sizeof large);
  CHECK_ERRNO(getrandom(one, 8, 0x1000), EINVAL);
}

static void environment(void) {
  CHECK(environ != NULL && setenv("USETL_TEST", "value", 1) == 0);
  CHECK(strcmp(getenv("USETL_TEST"), "value") == 0 && unsetenv("USETL_TEST") == 0);
  CHECK(getenv("USETL_TEST") == NULL && getenv("PATH") != NULL);
}

static void proc_exe(void) {
  char target[4096];
  struct stat exe, given;
  const ssize_t size = readlink("/proc/self/exe", target, sizeof target - 1);
  CHECK(size > 0 && target[0] == '/');
  target[size] = 0;
  CHECK(stat(target, &exe) == 0 && stat(program, &given) == 0 && exe.st_ino == given.st_ino);
}

static void proc_maps(void) {
  char line[512];
  unsigned long from, to, inside = (unsigned long)(void*)proc_maps;
  char protection[8];
  int lines = 0, found = 0;
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  while (fgets(line, sizeof line, maps) != NULL) {
    lines++;
    if (sscanf(line, "%lx-%lx %7s", &from, &to, protection) != 3 || from >= to) break;
    if (inside >= from && inside < to) found = protection[0] == 'r' && protection[2] == 'x';
  }
  fclose(maps);
  CHECK(lines > 3 && found);
}

static void proc_status(void) {
  char line[512];
  int pid = 0, threads = 0;
  FILE* status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof line, status) != NULL) {
    sscanf(line, "Pid: %d", &pid);
    sscanf(line, "Threads: %d", &threads);
  }
  fclose(status);
  CHECK(pid == getpid() && threads == 1);
}

static void proc_fd(void) {
  char link[64], target[64] = "";
  const int fd = open("/dev/null", O_RDONLY);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  CHECK(readlink(link, target, sizeof target - 1) == 9 && strcmp(target, "/dev/null") == 0);
  CHECK(close(fd) == 0);
  CHECK_ERRNO(readlink(link, target, sizeof target), ENOENT);
}

static int refused(void) { return errno == ENOSYS || errno == EAGAIN || errno == EPERM; }

static void second_process(void) {
  int status = 0;
  const pid_t child = fork();
  if (child == 0) _exit(7);
  if (in_guest()) {
    CHECK(child == -1 && refused());
  } else {
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  }
}

static void spawning(void) {
  char* arguments[] = {"true", NULL};
  pid_t child = 0;
  int status = 0;
  const int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);
  if (in_guest()) {
    CHECK(error != 0);
  } else {
    CHECK(error == 0 && waitpid(child, &status, 0) == child && status == 0);
  }
  CHECK_ERRNO(waitpid(-1, &status, WNOHANG), ECHILD);
}

static void unknown_call(void) { CHECK_ERRNO(syscall(1000), ENOSYS); }

int main(int argc, char** argv) {
  (void)argc;
  program = argv[0];
  RUN(identity);
  RUN(resources);
  RUN(processors);
  RUN(randomness);
  RUN(environment);
  RUN(proc_exe);
  RUN(proc_maps);
  RUN(proc_status);
  RUN(proc_fd);
  RUN(second_process);
  RUN(spawning);
  RUN(unknown_call);
  return check_done();
}
