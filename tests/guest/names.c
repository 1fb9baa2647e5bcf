// names.c: links, the current directory, stat fields, descriptors and their flags.
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static char root[64];

static int touch(const char* name, mode_t mode) {
  return close(open(name, O_WRONLY | O_CREAT | O_EXCL, mode));
}

static void symlinks(void) {
  char target[64];
  struct stat info;
  CHECK(touch("real", 0644) == 0 && symlink("real", "link") == 0);
  CHECK(readlink("link", target, sizeof target) == 4 && memcmp(target, "real", 4) == 0);
  CHECK(lstat("link", &info) == 0 && S_ISLNK(info.st_mode) && info.st_size == 4);
  CHECK(stat("link", &info) == 0 && S_ISREG(info.st_mode));
  CHECK_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
  CHECK_ERRNO(readlink("real", target, sizeof target), EINVAL);
  CHECK(symlink("loop", "loop") == 0);
  CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
  CHECK(symlink("nowhere", "dangling") == 0);
  CHECK_ERRNO(access("dangling", F_OK), ENOENT);
  CHECK(unlink("link") == 0 && access("real", F_OK) == 0);
  CHECK(mkdir("below", 0755) == 0 && symlink("../real", "below/up") == 0);
  CHECK(access("below/up", F_OK) == 0);
}

static void current_directory(void) {
  char path[PATH_MAX], expected[PATH_MAX];
  CHECK(getcwd(path, sizeof path) != NULL && strcmp(path, root) == 0);
  CHECK(mkdir("cwd", 0755) == 0 && chdir("cwd") == 0 && touch("inside", 0644) == 0);
  snprintf(expected, sizeof expected, "%s/cwd", root);
  CHECK(getcwd(path, sizeof path) != NULL && strcmp(path, expected) == 0);
  CHECK(access("../cwd/./inside", F_OK) == 0 && chdir("..") == 0);
  CHECK(access("cwd//inside", F_OK) == 0);
  CHECK_ERRNO(chdir("cwd/inside"), ENOTDIR);
  const int fd = open("cwd", O_RDONLY | O_DIRECTORY);
  CHECK(fchdir(fd) == 0 && access("inside", F_OK) == 0 && chdir(root) == 0 && close(fd) == 0);
  CHECK(realpath("cwd/../cwd/inside", path) != NULL);
  snprintf(expected, sizeof expected, "%s/cwd/inside", root);
  CHECK(strcmp(path, expected) == 0);
}

static void stat_fields(void) {
  struct stat file, dir, again;
  umask(022);
  CHECK(touch("stat", 0666) == 0 && stat("stat", &file) == 0 && stat(".", &dir) == 0);
  CHECK(S_ISREG(file.st_mode) && (file.st_mode & 0777) == 0644 && S_ISDIR(dir.st_mode));
  CHECK(file.st_nlink == 1 && dir.st_nlink >= 1 && file.st_size == 0 && file.st_blksize > 0);
  CHECK(file.st_uid == geteuid() && file.st_ino != 0 && file.st_ino != dir.st_ino);
  CHECK(stat("stat", &again) == 0 && again.st_ino == file.st_ino && again.st_dev == file.st_dev);
  CHECK(chmod("stat", 0600) == 0 && stat("stat", &again) == 0 && (again.st_mode & 0777) == 0600);
  CHECK(file.st_mtime > 1600000000);
  const struct timespec times[2] = {{1000000, 0}, {2000000, 500}};
  CHECK(utimensat(AT_FDCWD, "stat", times, 0) == 0 && stat("stat", &again) == 0);
  CHECK(again.st_atim.tv_sec == 1000000 && again.st_mtim.tv_sec == 2000000);
  struct statx extended;
  CHECK(statx(AT_FDCWD, "stat", 0, STATX_BASIC_STATS, &extended) == 0);
  CHECK(extended.stx_ino == again.st_ino && extended.stx_size == 0);
  CHECK_ERRNO(stat("", &again), ENOENT);
  CHECK(stat("/dev/null", &again) == 0 && S_ISCHR(again.st_mode));
}

static void duplicates(void) {
  char text[4] = "";
  const int fd = open("dup", O_RDWR | O_CREAT, 0644);
  const int copy = dup(fd);
  CHECK(copy > fd && write(fd, "ab", 2) == 2 && write(copy, "c", 1) == 1);
  CHECK(lseek(fd, 0, SEEK_CUR) == 3 && close(fd) == 0 && pread(copy, text, 3, 0) == 3);
  CHECK(strcmp(text, "abc") == 0 && dup2(copy, 77) == 77 && close(copy) == 0);
  CHECK(lseek(77, 0, SEEK_END) == 3 && dup2(77, 77) == 77);
  const int high = fcntl(77, F_DUPFD_CLOEXEC, 200);
  CHECK(high >= 200 && fcntl(high, F_GETFD) == FD_CLOEXEC && fcntl(77, F_GETFD) == 0);
  CHECK(fcntl(77, F_SETFD, FD_CLOEXEC) == 0 && fcntl(77, F_GETFD) == FD_CLOEXEC);
  CHECK(close(77) == 0 && close(high) == 0);
  CHECK_ERRNO(dup(77), EBADF);
  CHECK_ERRNO(fcntl(77, F_GETFD), EBADF);
  CHECK_ERRNO(dup3(0, 0, 0), EINVAL);
}

static void status_flags(void) {
  const int fd = open("flags", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && (fcntl(fd, F_GETFL) & O_APPEND) == O_APPEND);
  CHECK(isatty(fd) == 0 && errno == ENOTTY && fsync(fd) == 0 && fdatasync(fd) == 0);
  CHECK(close(fd) == 0);
}

static void lowest_descriptor_and_limit(void) {
  int fds[64], count = 0;
  const int first = open("/dev/null", O_RDONLY), second = open("/dev/null", O_RDONLY);
  CHECK(second > first && close(first) == 0 && open("/dev/null", O_RDONLY) == first);
  struct rlimit old, small;
  CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
  small = old;
  small.rlim_cur = 40;
  CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
  while (count < 64 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
  const int limited = errno;
  while (count > 0) close(fds[--count]);
  CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0 && limited == EMFILE);
  CHECK(close(first) == 0 && close(second) == 0);
}

static void special_files(void) {
  char bytes[32] = {1}, other[32] = {0};
  int fd = open("/dev/zero", O_RDONLY);
  CHECK(read(fd, bytes, 32) == 32 && bytes[0] == 0 && bytes[31] == 0 && close(fd) == 0);
  fd = open("/dev/null", O_RDWR);
  CHECK(write(fd, "x", 1) == 1 && read(fd, bytes, 1) == 0 && close(fd) == 0);
  fd = open("/dev/urandom", O_RDONLY);
  CHECK(read(fd, bytes, 32) == 32 && read(fd, other, 32) == 32 && memcmp(bytes, other, 32) != 0);
  CHECK(close(fd) == 0);
}

int main(void) {
  make_directory(root);
  if (chdir(root) != 0) return 1;
  RUN(symlinks);
  RUN(current_directory);
  RUN(stat_fields);
  RUN(duplicates);
  RUN(status_flags);
  RUN(lowest_descriptor_and_limit);
  RUN(special_files);
  return check_done();
}
