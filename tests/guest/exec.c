// exec.c: another program in the place of this one: each stage starts the next.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

extern char** environ;
static char** arguments;
static const char* program;

static void handler(int signal) { (void)signal; }

static void* sleeper(void* unused) {
  (void)unused;
  pause();
  return NULL;
}

static void write_program(const char* path, const char* bytes, ssize_t size) {
  const int fd = open(path, O_WRONLY | O_CREAT, 0755);
  CHECK(fd >= 0 && write(fd, bytes, size) == size && close(fd) == 0);
}

static void refused(void) {
  char* none[] = {NULL};
  char directory[64];
  char path[96];
  CHECK_ERRNO(execve("/no/such/program", none, none), ENOENT);
  CHECK_ERRNO(execve("/tmp", none, none), EACCES);
  CHECK_ERRNO(execve("", none, none), ENOENT);
  CHECK_ERRNO(syscall(SYS_execve, 8, none, none), EFAULT);
  CHECK_ERRNO(syscall(SYS_execve, program, 8, none), EFAULT);
  make_directory(directory);
  snprintf(path, sizeof path, "%s/file", directory);
  const int fd = open(path, O_WRONLY | O_CREAT, 0644);
  CHECK(fd >= 0 && write(fd, "text", 4) == 4 && close(fd) == 0);
  CHECK_ERRNO(execve(path, none, none), EACCES);
  CHECK(chmod(path, 0755) == 0);
  CHECK_ERRNO(execve(path, none, none), ENOEXEC);
  static char image[1 << 20];
  const int self = open(program, O_RDONLY);
  const ssize_t size = read(self, image, sizeof image);
  CHECK(size > 0 && size < (ssize_t)sizeof image && close(self) == 0);
  const char loader[] = "/lib64/ld-linux-x86-64.so.2";
  char* named = memmem(image, size, loader, sizeof loader);
  CHECK(named != NULL);
  strcpy(named, "/no/such/loader");
  snprintf(path, sizeof path, "%s/no_loader", directory);
  write_program(path, image, size);
  CHECK_ERRNO(execve(path, none, none), ENOENT);
  strcpy(named, "/tmp");
  snprintf(path, sizeof path, "%s/bad_loader", directory);
  write_program(path, image, size);
  CHECK_ERRNO(execve(path, none, none), EACCES);
  check_remove_directory();  // the next stage does not know of it
}

// Leaves behind what must be gone, and what must not.
static void first_stage(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
  CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR && signal(SIGUSR2, handler) != SIG_ERR);
  const int null = open("/dev/null", O_RDONLY);
  CHECK(dup2(null, 50) == 50 && dup3(null, 51, O_CLOEXEC) == 51);
  char* heap = malloc(1 << 20);
  CHECK(heap != NULL);
  memset(heap, 1, 1 << 20);
  CHECK(mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
  char* next[] = {"name", "second", "", "last argument", NULL};
  char* environment[] = {"USETL_GUEST=1", "ONLY=this", NULL};
  if (!in_guest()) environment[0] = "USETL_GUEST=0";
  execve(program, next, environment);
  CHECK(!"the second stage");
}

static void second_stage(void) {
  CHECK(strcmp(arguments[0], "name") == 0 && arguments[2][0] == 0);
  CHECK(strcmp(arguments[3], "last argument") == 0 && arguments[4] == NULL);
  CHECK(environ[2] == NULL && strcmp(environ[1], "ONLY=this") == 0);
  CHECK(getpid() > 0 && syscall(SYS_gettid) == getpid());
  struct sigaction action;
  CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
  CHECK(sigaction(SIGUSR2, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  CHECK(fcntl(50, F_GETFD) == 0);
  CHECK_ERRNO(fcntl(51, F_GETFD), EBADF);
  const char* fresh =
      mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(fresh != MAP_FAILED);
  for (int i = 0; i < 1 << 20; i += 512) CHECK(fresh[i] == 0);
}

// A script, whose interpreter is this program once more.
static void third_stage(void) {
  char directory[64];
  char path[96];
  char text[256];
  make_directory(directory);
  snprintf(path, sizeof path, "%s/script", directory);
  const int length = snprintf(text, sizeof text, "#!%s  script argument \nrest\n", program);
  const int fd = open(path, O_WRONLY | O_CREAT, 0755);
  CHECK(fd >= 0 && write(fd, text, length) == length && close(fd) == 0);
  char* next[] = {"lost", "kept", NULL};
  execve(path, next, environ);
  CHECK(!"the third stage");
}

static void script(void) {
  char link[256];
  CHECK(strcmp(arguments[1], "script argument") == 0 && strcmp(arguments[3], "kept") == 0);
  CHECK(strncmp(arguments[2], "/tmp/usetl-test-", 16) == 0 && arguments[4] == NULL);
  const ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
  CHECK(length > 0);
  link[length] = 0;
  CHECK(strstr(link, "exec") != NULL);
  // What the stage before could not remove any more.
  *strrchr(arguments[2], '/') = 0;
  strcpy(check_directory, arguments[2]);
  check_remove_directory();
}

int main(int argc, char** argv) {
  static char self[256];
  arguments = argv;
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return 1;
  program = self;
  if (argc == 1) {
    RUN(refused);
    RUN(first_stage);
  } else if (strcmp(argv[1], "second") == 0) {
    RUN(second_stage);
    RUN(third_stage);
  } else {
    RUN(script);
  }
  return check_done();
}
