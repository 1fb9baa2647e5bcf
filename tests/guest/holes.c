// holes.c: sparse files: what is between takes no room, and what becomes of them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static int put(const char* name, const char* text) {
  const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text)) return -1;
  return fd;
}

// Larger than any memory here.
static void large_holes(void) {
  static const off_t kFar = (off_t)5 << 30, kEnd = (off_t)8 << 30;
  static char block[100000];
  char buffer[16];
  struct stat info;
  const int fd = put("holes", "start");
  CHECK(ftruncate(fd, kEnd) == 0 && fstat(fd, &info) == 0 && info.st_size == kEnd);
  CHECK(info.st_blocks < 4096);
  CHECK(pwrite(fd, "far", 3, kFar + 4094) == 3);
  CHECK(pread(fd, buffer, 8, kFar + 4092) == 8 && memcmp(buffer, "\0\0far\0\0\0", 8) == 0);
  CHECK(pread(fd, buffer, 8, 3) == 8 && memcmp(buffer, "rt\0\0\0\0\0\0", 8) == 0);
  CHECK(pread(fd, buffer, 8, kEnd - 2) == 2 && pread(fd, buffer, 8, kEnd) == 0);
  CHECK(lseek(fd, 0, SEEK_DATA) == 0);
  const off_t data = lseek(fd, kFar - (64 << 20), SEEK_DATA);
  CHECK(data <= kFar + 4094 && data > kFar - (4 << 20));
  const off_t hole = lseek(fd, kFar + 4094, SEEK_HOLE);
  CHECK(hole > kFar + 4096 && hole < kFar + (8 << 20));
  CHECK_ERRNO(lseek(fd, kFar + (8 << 20), SEEK_DATA), ENXIO);
  // Over what is there and what is not.
  memset(block, 'b', sizeof block);
  CHECK(pwrite(fd, block, sizeof block, kFar - 50000) == sizeof block);
  CHECK(pread(fd, buffer, 4, kFar - 50002) == 4 && memcmp(buffer, "\0\0bb", 4) == 0);
  CHECK(pread(fd, buffer, 4, kFar + 49998) == 4 && memcmp(buffer, "bb\0\0", 4) == 0);
  CHECK(pread(fd, block, sizeof block, kFar - 50000) == sizeof block);
  for (size_t i = 0; i < sizeof block; ++i) CHECK(block[i] == 'b');
  // What is cut off is gone for good.
  CHECK(ftruncate(fd, kFar) == 0 && ftruncate(fd, kEnd) == 0);
  CHECK(pread(fd, buffer, 4, kFar - 2) == 4 && memcmp(buffer, "bb\0\0", 4) == 0);
  CHECK(ftruncate(fd, 3) == 0 && pread(fd, buffer, 8, 0) == 3 && fstat(fd, &info) == 0);
  CHECK(info.st_size == 3 && memcmp(buffer, "sta", 3) == 0);
  CHECK(close(fd) == 0 && unlink("holes") == 0);
}

static void holes_are_filled(void) {
  char text[4] = "";
  for (int round = 0; round < 100;
       ++round) {  // as often as room that was not given back would not last
    const int fd = put("mapped", "x");
    CHECK(pwrite(fd, "yz", 2, 2000000) == 2);
    const char* memory = mmap(NULL, 2000002, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED && memory[0] == 'x' && memory[1] == 0 && memory[1000000] == 0);
    CHECK(memory[2000000] == 'y' && munmap((void*)memory, 2000002) == 0 && close(fd) == 0);
    const int copy = open("mapped", O_RDWR), other = put("copied", "");
    off_t from = 1999999;
    CHECK(sendfile(other, copy, &from, 10) == 3 && pread(other, text, 3, 0) == 3);
    CHECK(memcmp(text, "\0yz", 3) == 0 && posix_fallocate(copy, 0, 3000000) == 0);
    CHECK(close(copy) == 0 && close(other) == 0 && unlink("mapped") == 0);
  }
}

// Of a file that was cut off within what lay behind a hole nothing reaches beyond its end.
static void cut_and_mapped(void) {
  static char block[1 << 20];
  char text[4];
  const int fd = put("cut", ""), other = put("neighbour", "");
  memset(block, 'c', sizeof block);
  CHECK(pwrite(fd, block, sizeof block, 4 << 20) == sizeof block);
  CHECK(ftruncate(fd, (4 << 20) + 100) == 0);
  memset(block, 'n', sizeof block);
  CHECK(write(other, block, sizeof block) == sizeof block);
  const char* memory = mmap(NULL, (4 << 20) + 100, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED && memory[4 << 20] == 'c' && memory[(4 << 20) + 99] == 'c');
  CHECK(memory[(4 << 20) + 100] == 0 && memory[(4 << 20) - 1] == 0);
  CHECK(write(other, "end", 3) == 3);
  CHECK(pread(other, block, sizeof block, 0) == sizeof block);
  for (size_t i = 0; i < sizeof block; ++i) CHECK(block[i] == 'n');
  CHECK(pread(other, text, 4, sizeof block) == 3 && memcmp(text, "end", 3) == 0);
  CHECK(munmap((void*)memory, (4 << 20) + 100) == 0 && close(fd) == 0 && close(other) == 0);
  CHECK(unlink("cut") == 0 && unlink("neighbour") == 0);
}

// A write that fails leaves nothing behind.
static void bad_memory(void) {
  char text[4];
  const int fd = put("bad", "x");
  void* nothing = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(nothing != MAP_FAILED);
  CHECK_ERRNO(pwrite(fd, nothing, 1 << 20, 4 << 20), EFAULT);
  CHECK(ftruncate(fd, 5 << 20) == 0 && pread(fd, text, 4, 4 << 20) == 4);
  CHECK(memcmp(text, "\0\0\0\0", 4) == 0 && close(fd) == 0 && unlink("bad") == 0);
}

// A hole that is filled piece by piece leaves a file like any other.
static void filled_by_writes(void) {
  static char block[4096];
  struct stat info;
  const int fd = put("filled", "");
  enum { kSize = 35 << 20 };
  memset(block, 'f', sizeof block);
  CHECK(ftruncate(fd, kSize) == 0);
  for (int at = 0; at < kSize; at += sizeof block) CHECK(write(fd, block, 4096) == 4096);
  CHECK(lseek(fd, 0, SEEK_HOLE) == kSize && fstat(fd, &info) == 0 && info.st_size == kSize);
  const char* memory = mmap(NULL, kSize, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED && memory[0] == 'f' && memory[kSize - 1] == 'f');
  CHECK(munmap((void*)memory, kSize) == 0 && close(fd) == 0 && unlink("filled") == 0);
}

// Room for a part of a file that is larger than all there is.
static void reserved_in_a_hole(void) {
  struct stat info;
  char text[4];
  const int fd = put("reserved", "x");
  CHECK(ftruncate(fd, (off_t)10 << 30) == 0);
  CHECK(posix_fallocate(fd, 0, 1 << 20) == 0 && posix_fallocate(fd, (off_t)5 << 30, 100000) == 0);
  CHECK(fstat(fd, &info) == 0 && info.st_size == (off_t)10 << 30);
  // What does not fit takes nothing from anybody.
  CHECK(posix_fallocate(fd, 0, (off_t)1 << 45) != 0);
  const int other = put("beside", "room");
  CHECK(other >= 0 && close(other) == 0 && unlink("beside") == 0);
  CHECK(pread(fd, text, 2, 0) == 2 && text[0] == 'x' && text[1] == 0);
  CHECK(pread(fd, text, 4, (off_t)5 << 30) == 4 && memcmp(text, "\0\0\0\0", 4) == 0);
  CHECK(close(fd) == 0 && unlink("reserved") == 0);
}

// A mapping lasts longer than the descriptor and the name.
static void mapped_and_closed(void) {
  static char block[65536];
  const int fd = memfd_create("mapped", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, sizeof block) == 0);
  char* memory = mmap(NULL, sizeof block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char* again = mmap(NULL, sizeof block, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED && again != MAP_FAILED && close(fd) == 0);
  memory[0] = 'm';
  for (int i = 0; i < 20; ++i) {
    const int other = put("other", "");
    memset(block, 'n', sizeof block);
    CHECK(write(other, block, sizeof block) == sizeof block);
    CHECK(memory[0] == 'm' && memory[1] == 0 && memory[65535] == 0 && again[0] == 'm');
    memory[1] = 0;
    CHECK(pread(other, block, sizeof block, 0) == sizeof block && block[0] == 'n');
    CHECK(block[1] == 'n' && close(other) == 0 && unlink("other") == 0);
  }
  CHECK(munmap(again, sizeof block) == 0 && memory[0] == 'm');
  CHECK(munmap(memory, 4096) == 0 && memory[4096] == 0);
  CHECK(munmap(memory + 4096, sizeof block - 4096) == 0);
}

// What was mapped once grows as before.
static void mapped_and_grown(void) {
  static char block[4096];
  const int fd = put("grows", "first");
  const char* memory = mmap(NULL, 5, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED && memcmp(memory, "first", 5) == 0);
  const int other = put("behind", "x");
  for (int i = 0; i < 100; ++i) CHECK(write(fd, block, sizeof block) == sizeof block);
  CHECK(memcmp(memory, "first", 5) == 0 && munmap((void*)memory, 5) == 0);
  for (int i = 0; i < 100; ++i) CHECK(write(fd, block, sizeof block) == sizeof block);
  CHECK(pread(fd, block, 5, 0) == 5 && memcmp(block, "first", 5) == 0);
  CHECK(close(fd) == 0 && close(other) == 0 && unlink("grows") == 0 && unlink("behind") == 0);
}

int main(void) {
  char directory[64];
  make_directory(directory);
  if (chdir(directory) != 0) return 1;
  RUN(large_holes);
  RUN(holes_are_filled);
  RUN(cut_and_mapped);
  RUN(bad_memory);
  RUN(filled_by_writes);
  RUN(reserved_in_a_hole);
  RUN(mapped_and_closed);
  RUN(mapped_and_grown);
  return check_done();
}
