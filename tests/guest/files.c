// files.c: what POSIX says about files and directories, in a fresh directory of /tmp.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

static char root[64];

static int put(const char* name, const char* text) {
  const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text)) return -1;
  return fd;
}

static int holds(const char* name, const char* text) {
  char buffer[256];
  const int fd = open(name, O_RDONLY);
  const ssize_t size = read(fd, buffer, sizeof buffer);
  close(fd);
  return size == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
}

static void read_write_seek(void) {
  char buffer[16];
  const int fd = put("rw", "0123456789");
  CHECK(fd >= 0);
  CHECK(lseek(fd, 3, SEEK_SET) == 3 && read(fd, buffer, 2) == 2 && memcmp(buffer, "34", 2) == 0);
  CHECK(lseek(fd, -1, SEEK_END) == 9 && lseek(fd, 1, SEEK_CUR) == 10);
  CHECK(read(fd, buffer, 1) == 0);
  CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  CHECK(pwrite(fd, "ab", 2, 4) == 2 && pread(fd, buffer, 4, 3) == 4);
  CHECK(memcmp(buffer, "3ab6", 4) == 0 && lseek(fd, 0, SEEK_CUR) == 10);
  struct iovec parts[2] = {{"xy", 2}, {"z", 1}};
  CHECK(writev(fd, parts, 2) == 3 && close(fd) == 0 && holds("rw", "0123ab6789xyz"));
  CHECK_ERRNO(close(fd), EBADF);
  CHECK_ERRNO(read(fd, buffer, 1), EBADF);
}

static void open_flags(void) {
  char byte;
  int fd = put("flags", "one");
  CHECK(close(fd) == 0);
  CHECK_ERRNO(open("flags", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
  CHECK_ERRNO(open("absent", O_RDONLY), ENOENT);
  CHECK_ERRNO(open("flags/x", O_RDONLY), ENOTDIR);
  CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
  CHECK_ERRNO(open("flags", O_RDONLY | O_DIRECTORY), ENOTDIR);
  // Of a name that is free Linux before 6.4 says ENOTDIR, once it has made a file.
  CHECK(open("made", O_RDONLY | O_CREAT | O_DIRECTORY, 0600) == -1);
  CHECK(errno == EINVAL || errno == ENOTDIR);
  CHECK_ERRNO(access("flags", 8), EINVAL);
  fd = open("flags", O_WRONLY);
  CHECK_ERRNO(read(fd, &byte, 1), EBADF);
  close(fd);
  fd = open("flags", O_RDONLY);
  CHECK_ERRNO(write(fd, "x", 1), EBADF);
  close(fd);
  fd = open("flags", O_WRONLY | O_TRUNC);
  struct stat info;
  CHECK(fstat(fd, &info) == 0 && info.st_size == 0 && close(fd) == 0);
}

static void append(void) {
  close(put("log", "one,"));
  const int first = open("log", O_WRONLY | O_APPEND), second = open("log", O_WRONLY | O_APPEND);
  CHECK(write(first, "two,", 4) == 4 && write(second, "three,", 6) == 6);
  CHECK(lseek(first, 0, SEEK_SET) == 0 && write(first, "four", 4) == 4);
  CHECK(holds("log", "one,two,three,four"));
  CHECK((fcntl(first, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
  CHECK(close(first) == 0 && close(second) == 0);
}

static void truncate_and_holes(void) {
  char buffer[8];
  struct stat info;
  const int fd = put("sparse", "start");
  CHECK(ftruncate(fd, 2) == 0 && ftruncate(fd, 6) == 0);
  CHECK(pread(fd, buffer, 8, 0) == 6 && memcmp(buffer, "st\0\0\0\0", 6) == 0);
  CHECK(pwrite(fd, "end", 3, 1 << 20) == 3 && fstat(fd, &info) == 0);
  CHECK(info.st_size == (1 << 20) + 3);
  CHECK(pread(fd, buffer, 4, 500000) == 4 && memcmp(buffer, "\0\0\0\0", 4) == 0);
  CHECK(truncate("sparse", 0) == 0 && fstat(fd, &info) == 0 && info.st_size == 0);
  CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
  close(fd);
}

static void renames(void) {
  struct stat before, after;
  close(put("from", "new"));
  close(put("to", "old"));
  const int old = open("to", O_RDONLY);
  CHECK(stat("from", &before) == 0 && rename("from", "to") == 0 && stat("to", &after) == 0);
  CHECK(before.st_ino == after.st_ino && holds("to", "new"));
  CHECK_ERRNO(access("from", F_OK), ENOENT);
  char text[4] = "";
  CHECK(read(old, text, 3) == 3 && strcmp(text, "old") == 0 && close(old) == 0);
  CHECK(mkdir("dir", 0755) == 0 && rename("to", "dir/moved") == 0 && holds("dir/moved", "new"));
  CHECK(mkdir("empty", 0755) == 0);
  CHECK_ERRNO(rename("dir/moved", "empty"), EISDIR);
  CHECK_ERRNO(rename("empty", "dir/moved"), ENOTDIR);
  CHECK_ERRNO(rename("dir", "dir/below"), EINVAL);
  CHECK(rename("dir", "other") == 0 && holds("other/moved", "new"));
  CHECK_ERRNO(rmdir("other"), ENOTEMPTY);
  CHECK(unlink("other/moved") == 0 && rmdir("other") == 0);
}

static void unlink_while_open(void) {
  char text[8] = "";
  struct stat info;
  const int fd = put("ghost", "body");
  CHECK(unlink("ghost") == 0 && fstat(fd, &info) == 0 && info.st_nlink == 0 && info.st_size == 4);
  const int fresh = put("ghost", "new");
  CHECK(write(fd, "+", 1) == 1 && pread(fd, text, 7, 0) == 5 && strcmp(text, "body+") == 0);
  CHECK(holds("ghost", "new") && close(fd) == 0 && close(fresh) == 0);
  CHECK_ERRNO(unlink("absent"), ENOENT);
  CHECK_ERRNO(rmdir("ghost"), ENOTDIR);
}

static int by_name(const void* a, const void* b) { return strcmp(a, b); }

static void directories(void) {
  char names[16][NAME_MAX + 1];
  int count = 0;
  CHECK(mkdir("list", 0755) == 0 && mkdir("list/c", 0755) == 0);
  CHECK_ERRNO(mkdir("list", 0755), EEXIST);
  close(put("list/b", "x"));
  close(put("list/a", "x"));
  DIR* dir = opendir("list");
  CHECK(dir != NULL);
  for (struct dirent* entry; (entry = readdir(dir)) != NULL && count < 16; count++) {
    const int expected = entry->d_name[0] == 'a' || entry->d_name[0] == 'b' ? DT_REG : DT_DIR;
    CHECK(entry->d_type == expected || entry->d_type == DT_UNKNOWN);
    strcpy(names[count], entry->d_name);
  }
  qsort(names, (size_t)count, sizeof names[0], by_name);
  CHECK(count == 5 && strcmp(names[0], ".") == 0 && strcmp(names[1], "..") == 0);
  CHECK(strcmp(names[2], "a") == 0 && strcmp(names[3], "b") == 0 && strcmp(names[4], "c") == 0);
  rewinddir(dir);
  CHECK(readdir(dir) != NULL);
  const int fd = openat(dirfd(dir), "a", O_RDONLY);
  CHECK(fd >= 0 && close(fd) == 0 && unlinkat(dirfd(dir), "c", AT_REMOVEDIR) == 0);
  CHECK(closedir(dir) == 0);
}

static void many_entries(void) {
  char name[32];
  int count = 0;
  CHECK(mkdir("many", 0755) == 0);
  for (int i = 0; i < 600; i++) {
    snprintf(name, sizeof name, "many/entry-%d", i);
    CHECK(close(put(name, "")) == 0);
  }
  DIR* dir = opendir("many");
  while (readdir(dir) != NULL) count++;
  CHECK(closedir(dir) == 0 && count == 602);
}

int main(void) {
  make_directory(root);
  if (chdir(root) != 0) return 1;
  RUN(read_write_seek);
  RUN(open_flags);
  RUN(append);
  RUN(truncate_and_holes);
  RUN(renames);
  RUN(unlink_while_open);
  RUN(directories);
  RUN(many_entries);
  return check_done();
}
