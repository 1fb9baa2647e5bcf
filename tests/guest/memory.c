// memory.c: brk, malloc under stress, and what madvise promises.
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096 };

static void program_break(void) {
  // Given back at the end: malloc goes on from where it believes the break to be.
  char* start = sbrk(0);
  CHECK(start != (char*)-1 && sbrk(8 * kPage) == start && sbrk(0) == start + 8 * kPage);
  for (int i = 0; i < 8 * kPage; i++) CHECK(start[i] == 0);
  memset(start, 'b', 8 * kPage);
  CHECK(sbrk(-4 * kPage) == start + 8 * kPage && start[kPage] == 'b');
  CHECK(sbrk(4 * kPage) == start + 4 * kPage);
  for (int i = 4 * kPage; i < 8 * kPage; i++) CHECK(start[i] == 0);
  CHECK(sbrk(-8 * kPage) == start + 8 * kPage);
}

static uint32_t random_state = 12345;

static uint32_t next_random(void) {
  random_state = random_state * 1664525 + 1013904223;
  return random_state >> 8;
}

static int filled(const unsigned char* at, size_t size, unsigned char with) {
  for (size_t i = 0; i < size; i += 61) {
    if (at[i] != with) return 0;
  }
  return at[size - 1] == with;
}

static void malloc_stress(void) {
  enum { kSlots = 512 };
  static unsigned char* slots[kSlots];
  static size_t sizes[kSlots];
  for (int round = 0; round < 40000; round++) {
    const uint32_t i = next_random() % kSlots;
    if (slots[i] != NULL) {
      CHECK(filled(slots[i], sizes[i], (unsigned char)i));
      free(slots[i]);
    }
    // Mostly small, now and then beyond the threshold where malloc uses mmap.
    sizes[i] = 1 + next_random() % (round % 50 == 0 ? 400000 : 3000);
    slots[i] = malloc(sizes[i]);
    CHECK(slots[i] != NULL && (uintptr_t)slots[i] % 16 == 0);
    memset(slots[i], (int)i & 0xff, sizes[i]);
  }
  for (uint32_t i = 0; i < kSlots; i++) {
    if (slots[i] != NULL) CHECK(filled(slots[i], sizes[i], (unsigned char)i));
    free(slots[i]);
    slots[i] = NULL;
  }
}

static void realloc_keeps_bytes(void) {
  size_t size = 100;
  unsigned char* at = malloc(size);
  memset(at, 7, size);
  while (size < 8u << 20) {
    unsigned char* moved = realloc(at, size * 2);
    CHECK(moved != NULL && filled(moved, size, 7));
    at = moved;
    size *= 2;
    memset(at, 7, size);
  }
  at = realloc(at, 10);
  CHECK(at != NULL && filled(at, 10, 7));
  free(at);
}

static void calloc_is_zero(void) {
  for (int i = 0; i < 200; i++) {
    const size_t size = 1 + next_random() % 200000;
    unsigned char* at = calloc(1, size);
    CHECK(at != NULL && filled(at, size, 0));
    memset(at, 0xff, size);
    free(at);
  }
}

static void too_much(void) {
  void* volatile at = malloc((size_t)1 << 60);
  CHECK(at == NULL && errno == ENOMEM);
  CHECK(mmap(NULL, (size_t)1 << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CHECK(errno == ENOMEM);
}

static void trim_and_reuse(void) {
  void* blocks[64];
  for (int i = 0; i < 64; i++) memset(blocks[i] = malloc(100000), 1, 100000);
  for (int i = 0; i < 64; i++) free(blocks[i]);
  malloc_trim(0);
  for (int i = 0; i < 64; i++) CHECK((blocks[i] = malloc(100000)) != NULL);
  for (int i = 0; i < 64; i++) memset(blocks[i], 2, 100000);
  for (int i = 0; i < 64; i++) free(blocks[i]);
}

static void dontneed_zeroes(void) {
  char* at = mmap(NULL, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED);
  memset(at, 'd', 16 * kPage);
  CHECK(madvise(at + 4 * kPage, 8 * kPage, MADV_DONTNEED) == 0);
  CHECK(at[4 * kPage - 1] == 'd' && at[12 * kPage] == 'd');
  for (int i = 4 * kPage; i < 12 * kPage; i++) CHECK(at[i] == 0);
  at[5 * kPage] = 'n';
  CHECK(at[5 * kPage] == 'n');
  CHECK(madvise(at, 16 * kPage, MADV_WILLNEED) == 0 && at[0] == 'd');
  CHECK_ERRNO(madvise(at + 1, kPage, MADV_DONTNEED), EINVAL);
  CHECK(munmap(at, 16 * kPage) == 0);
}

static void many_small_mappings(void) {
  char* at[200];
  for (int i = 0; i < 200; i++) {
    at[i] = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at[i] != MAP_FAILED && at[i][100] == 0);
    at[i][100] = (char)i;
  }
  for (int i = 0; i < 200; i++) CHECK(at[i][100] == (char)i && munmap(at[i], kPage) == 0);
}

int main(void) {
  RUN(program_break);
  RUN(malloc_stress);
  RUN(realloc_keeps_bytes);
  RUN(calloc_is_zero);
  RUN(too_much);
  RUN(trim_and_reuse);
  RUN(dontneed_zeroes);
  RUN(many_small_mappings);
  return check_done();
}
