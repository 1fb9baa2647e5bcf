// mmap.c: mappings and their protection; a fault inside becomes a return value.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096, kRead = PROT_READ, kWrite = PROT_READ | PROT_WRITE };

static char root[64];
static sigjmp_buf landing;
static void* volatile fault_address;
static volatile sig_atomic_t fault_signal;

static void on_fault(int number, siginfo_t* info, void* context) {
  (void)context;
  fault_signal = number;
  fault_address = info->si_addr;
  siglongjmp(landing, 1);
}

// The signal that a read (or write) of the address raises; 0: none.
static int fault_of(volatile char* address, int write) {
  if (sigsetjmp(landing, 1) != 0) return fault_address == address ? fault_signal : -1;
  if (write) {
    *address = 1;
  } else {
    (void)*address;
  }
  return 0;
}

static char* map(size_t size, int protection, int flags, int fd) {
  char* at = mmap(NULL, size, protection, flags, fd, 0);
  return at == MAP_FAILED ? NULL : at;
}

static char* anonymous(size_t size, int protection) {
  return map(size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int file(const char* name, size_t pages) {
  const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  char page[kPage];
  for (size_t i = 0; i < pages; i++) {
    memset(page, (int)('a' + i), kPage);
    if (write(fd, page, kPage) != kPage) return -1;
  }
  return fd;
}

static void zero_and_writable(void) {
  char* at = anonymous(64 * kPage, kWrite);
  CHECK(at != NULL && (uintptr_t)at % kPage == 0);
  for (int i = 0; i < 64 * kPage; i += 512) CHECK(at[i] == 0);
  memset(at, 'x', 64 * kPage);
  CHECK(at[63 * kPage] == 'x' && munmap(at, 64 * kPage) == 0);
  CHECK(FREED_MEMORY_FAULTS(fault_of(at, 0) == SIGSEGV));
}

static void protection(void) {
  char* at = anonymous(4 * kPage, kWrite);
  at[kPage] = 'k';
  CHECK(mprotect(at + kPage, kPage, kRead) == 0);
  CHECK(fault_of(at + kPage, 1) == SIGSEGV && fault_of(at + kPage, 0) == 0 && at[kPage] == 'k');
  CHECK(fault_of(at, 1) == 0 && fault_of(at + 2 * kPage, 1) == 0);
  CHECK(mprotect(at + kPage, kPage, PROT_NONE) == 0 && fault_of(at + kPage, 0) == SIGSEGV);
  CHECK(mprotect(at, 4 * kPage, kWrite) == 0 && fault_of(at + kPage, 1) == 0);
  CHECK(munmap(at, 4 * kPage) == 0);
  CHECK_ERRNO(mprotect(at + 1, kPage, kRead), EINVAL);
}

static void reservation(void) {
  const size_t size = (size_t)1 << 30;
  char* at = map(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  CHECK(at != NULL && fault_of(at + (size >> 1), 0) == SIGSEGV);
  char* middle = at + (size >> 1);
  CHECK(mprotect(middle, 16 * kPage, kWrite) == 0);
  memset(middle, 'r', 16 * kPage);
  CHECK(middle[0] == 'r' && fault_of(middle - 1, 0) == SIGSEGV);
  CHECK(fault_of(middle + 16 * kPage, 0) == SIGSEGV && munmap(at, size) == 0);
}

static void partial_unmap(void) {
  char* at = anonymous(5 * kPage, kWrite);
  memset(at, 'p', 5 * kPage);
  CHECK(munmap(at + 2 * kPage, kPage) == 0);
  CHECK(FREED_MEMORY_FAULTS(fault_of(at + 2 * kPage, 0) == SIGSEGV));
  CHECK(at[kPage] == 'p' && at[3 * kPage] == 'p');
  CHECK(munmap(at, 5 * kPage) == 0);
  CHECK(FREED_MEMORY_FAULTS(fault_of(at + 3 * kPage, 0) == SIGSEGV));
}

static void fixed(void) {
  char* at = anonymous(3 * kPage, kWrite);
  memset(at, 'f', 3 * kPage);
  char* again = mmap(at + kPage, kPage, kWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(again == at + kPage && again[0] == 0 && at[0] == 'f' && at[2 * kPage] == 'f');
  again[0] = 'n';
  CHECK(again[0] == 'n' && munmap(at, 3 * kPage) == 0);
}

static void private_file(void) {
  const int fd = file("private", 2);
  char byte;
  char* at = map(2 * kPage, kWrite, MAP_PRIVATE, fd);
  CHECK(at != NULL && at[0] == 'a' && at[kPage] == 'b');
  at[0] = 'X';
  CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'a' && close(fd) == 0);
  CHECK(at[0] == 'X' && at[kPage + 1] == 'b' && munmap(at, 2 * kPage) == 0);
}

static void shared_file(void) {
  const int fd = file("shared", 2);
  char byte;
  char* at = map(2 * kPage, kWrite, MAP_SHARED, fd);
  char* view = map(2 * kPage, kRead, MAP_SHARED, fd);
  CHECK(at != NULL && view != NULL);
  at[5] = 'S';
  CHECK(msync(at, 2 * kPage, MS_SYNC) == 0 && pread(fd, &byte, 1, 5) == 1 && byte == 'S');
  CHECK(view[5] == 'S' && pwrite(fd, "W", 1, kPage) == 1 && at[kPage] == 'W');
  CHECK(close(fd) == 0 && munmap(at, 2 * kPage) == 0 && view[5] == 'S');
  CHECK(munmap(view, 2 * kPage) == 0);
}

static void file_offsets_and_tail(void) {
  const int fd = file("tail", 3);
  CHECK(pwrite(fd, "tail", 4, 3 * kPage) == 4);
  char* at = mmap(NULL, 2 * kPage, kRead, MAP_PRIVATE, fd, 2 * kPage);
  CHECK(at != MAP_FAILED && at[0] == 'c' && memcmp(at + kPage, "tail", 4) == 0);
  CHECK(at[kPage + 4] == 0 && at[2 * kPage - 1] == 0 && munmap(at, 2 * kPage) == 0);
  CHECK(mmap(NULL, kPage, kRead, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 0, kRead, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(close(fd) == 0 && mmap(NULL, kPage, kRead, MAP_PRIVATE, fd, 0) == MAP_FAILED);
  CHECK(errno == EBADF);
}

static void remap(void) {
  char* at = anonymous(4 * kPage, kWrite);
  at[0] = '1';
  at[3 * kPage] = '4';
  char* grown = mremap(at, 4 * kPage, 400 * kPage, MREMAP_MAYMOVE);
  CHECK(grown != MAP_FAILED && grown[0] == '1' && grown[3 * kPage] == '4');
  CHECK(grown[399 * kPage] == 0);
  grown[399 * kPage] = 'g';
  CHECK(mremap(grown, 400 * kPage, 2 * kPage, 0) == grown && grown[0] == '1');
  CHECK(FREED_MEMORY_FAULTS(fault_of(grown + 3 * kPage, 0) == SIGSEGV));
  CHECK(munmap(grown, 2 * kPage) == 0);
}

// More often than page tables last that are never used twice.
static void again_and_again(void) {
  const int fd = file("again", 3);
  char* kept = map(3 * kPage, kWrite, MAP_PRIVATE, fd);
  CHECK(kept != NULL && fault_of(kept, 1) == 0);
  for (int i = 0; i < 1000; i++) {
    char* at = map(3 * kPage, kWrite, MAP_PRIVATE, fd);
    CHECK(at != NULL && at[0] == 'a' && at[3 * kPage - 1] == 'c');
    at[kPage] = 'm';
    if (i % 8 == 0) {
      CHECK(mprotect(at, 2 * kPage, PROT_READ) == 0 && fault_of(at, 1) == SIGSEGV);
      CHECK(at[kPage] == 'm' && fault_of(at + 2 * kPage, 1) == 0);
    }
    CHECK(munmap(at, 3 * kPage) == 0);
    if (i % 8 == 0) CHECK(fault_of(at, 0) == SIGSEGV);
  }
  CHECK(kept[0] == 1 && kept[kPage] == 'b' && munmap(kept, 3 * kPage) == 0);
  // Many tables at once.
  const size_t size = (size_t)160 << 20, step = 2 << 20;
  for (int i = 0; i < 5; i++) {
    char* at = anonymous(size, PROT_NONE);
    CHECK(at != NULL && mprotect(at, size, kWrite) == 0);
    for (size_t k = 0; k < size; k += step) at[k] = (char)i;
    for (size_t k = 0; k < size; k += step) CHECK(at[k] == i && at[k + 1] == 0);
    CHECK(mprotect(at, size, PROT_READ) == 0 && fault_of(at + step, 1) == SIGSEGV);
    CHECK(munmap(at, size) == 0 && fault_of(at + step, 0) == SIGSEGV);
  }
  CHECK(close(fd) == 0 && unlink("again") == 0);
}

static void null_is_not_mapped(void) {
  CHECK(fault_of(NULL, 0) == SIGSEGV);
  CHECK(fault_of(NULL, 1) == SIGSEGV);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  make_directory(root);
  if (chdir(root) != 0) return 1;
  RUN(zero_and_writable);
  RUN(protection);
  RUN(reservation);
  RUN(partial_unmap);
  RUN(fixed);
  RUN(private_file);
  RUN(shared_file);
  RUN(file_offsets_and_tail);
  RUN(remap);
  RUN(again_and_again);
  RUN(null_is_not_mapped);
  return check_done();
}
