// check.h: what the guest tests share. A test is a function; "ok NAME" or "FAIL NAME: why" is
// printed for each.
//
// The programs run on Linux and in a USF and must print the same, so they print nothing that
// differs between runs.
#ifndef USETL_TESTS_GUEST_CHECK_H_
#define USETL_TESTS_GUEST_CHECK_H_

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed_line;
static int check_failed_errno;
static const char* check_failed_text;
static int check_failures;

static inline void check_note(int line, const char* text) {
  if (check_failed_line != 0) return;  // the first one tells most
  check_failed_errno = errno;
  check_failed_line = line;
  check_failed_text = text;
}

// A touch of unmapped heap memory: a fault on Linux. In a USF zone A stays present
// (vmm/abi/README.md), so only there nothing is expected.
#define FREED_MEMORY_FAULTS(condition) (getenv("USETL_GUEST") != NULL || (condition))

// Ends the test when the condition does not hold.
#define CHECK(condition)                \
  do {                                  \
    if (!(condition)) {                 \
      check_note(__LINE__, #condition); \
      return;                           \
    }                                   \
  } while (0)

// The call fails with this errno.
#define CHECK_ERRNO(call, expected)                 \
  do {                                              \
    errno = 0;                                      \
    if ((call) != -1 || errno != (expected)) {      \
      check_note(__LINE__, #call " -> " #expected); \
      return;                                       \
    }                                               \
  } while (0)

// For code that is not in the test's own function.
#define EXPECT(condition)                               \
  do {                                                  \
    if (!(condition)) check_note(__LINE__, #condition); \
  } while (0)

static inline void check_run(const char* name, void (*test)(void)) {
  check_failed_line = 0;
  errno = 0;
  test();
  if (check_failed_line == 0) {
    printf("ok %s\n", name);
  } else {
    printf("FAIL %s: line %d: %s (errno %d)\n", name, check_failed_line, check_failed_text,
           check_failed_errno);
    check_failures++;
  }
  fflush(stdout);
}

#define RUN(test) check_run(#test, test)

static inline int check_done(void) { return check_failures != 0; }

// True in a USF, where some answers are "no" by design.
static inline int in_guest(void) {
  const char* value = getenv("USETL_GUEST");
  return value != NULL && strcmp(value, "1") == 0;
}

static char check_directory[64];

static inline int check_remove_entry(const char* path, const struct stat* info, int kind,
                                     struct FTW* place) {
  (void)info, (void)kind, (void)place;
  return remove(path);
}

static inline void check_remove_directory(void) {
  nftw(check_directory, check_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

// Makes a fresh directory to work in and removes it at exit; the path is absolute.
static inline void make_directory(char path[64]) {
  strcpy(path, "/tmp/usetl-test-XXXXXX");
  if (mkdtemp(path) == NULL) {
    printf("FAIL setup: no temporary directory (errno %d)\n", errno);
    exit(1);
  }
  strcpy(check_directory, path);
  atexit(check_remove_directory);
}

#endif  // USETL_TESTS_GUEST_CHECK_H_
