// getpid.c: nanoseconds of one getpid(2) through libc's own site.
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  enum { kCalls = 10000000 };
  struct timespec begin, end;
  for (int i = 0; i < 1000; i++) getpid();
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < kCalls; i++) getpid();
  clock_gettime(CLOCK_MONOTONIC, &end);
  const double ns = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
  printf("%.2f\n", ns / kCalls);
  return 0;
}
