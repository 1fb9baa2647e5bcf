// signals.c: handlers, masks, alternate stacks, faults, and timers that send signals.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t received;
static volatile sig_atomic_t count;
static void* volatile address;
static void* volatile stack_in_handler;
static sigjmp_buf landing;

static void on_signal(int number) {
  received = number;
  count++;
}

static void on_fault(int number, siginfo_t* info, void* context) {
  int local;
  (void)context;
  received = number;
  address = info->si_addr;
  stack_in_handler = &local;
  siglongjmp(landing, 1);
}

static void handle(int number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(number, &action, NULL);
  received = 0;
  count = 0;
}

static void handle_fault(int number, int flags) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};
  sigaction(number, &action, NULL);
  received = 0;
}

static void raise_and_return(void) {
  struct sigaction old;
  handle(SIGUSR1, on_signal);
  CHECK(raise(SIGUSR1) == 0 && received == SIGUSR1 && count == 1);
  CHECK(kill(getpid(), SIGUSR1) == 0 && count == 2);
  CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == on_signal);
  handle(SIGUSR1, SIG_IGN);
  CHECK(raise(SIGUSR1) == 0 && count == 0);
  CHECK_ERRNO(kill(getpid(), 1000), EINVAL);
  CHECK_ERRNO(sigaction(SIGKILL, &old, NULL), EINVAL);
}

static void mask_and_pending(void) {
  sigset_t set, old, pending;
  handle(SIGUSR2, on_signal);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && !sigismember(&old, SIGUSR2));
  CHECK(raise(SIGUSR2) == 0 && raise(SIGUSR2) == 0 && count == 0);
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2));
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && count == 1);
  CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR2));
}

static void flags_of_a_handler(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}, after;
  count = 0;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && count == 1);
  CHECK(sigaction(SIGUSR1, NULL, &after) == 0 && after.sa_handler == SIG_DFL);
  handle(SIGUSR1, SIG_DFL);
  CHECK(raise(SIGCHLD) == 0 && raise(SIGURG) == 0);  // ignored by default
}

static void fault_address_and_jump(void) {
  char* at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sigset_t mask;
  handle_fault(SIGSEGV, 0);
  for (int i = 0; i < 3; i++) {  // the jump must unblock the signal, or the second one kills
    received = 0;
    if (sigsetjmp(landing, 1) == 0) *(volatile char*)(at + 100 * i) = 1;
    CHECK(received == SIGSEGV && address == at + 100 * i);
  }
  CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && !sigismember(&mask, SIGSEGV));
  munmap(at, 4096);
}

static void other_faults(void) {
  volatile int zero = 0, seven = 7;
  handle_fault(SIGILL, 0);
  handle_fault(SIGFPE, 0);
  handle_fault(SIGTRAP, 0);
  if (sigsetjmp(landing, 1) == 0) __asm__ volatile("ud2");
  CHECK(received == SIGILL);
  if (sigsetjmp(landing, 1) == 0) zero = seven / zero;
  CHECK(received == SIGFPE);
  if (sigsetjmp(landing, 1) == 0) __asm__ volatile("int3");
  CHECK(received == SIGTRAP);
  void (*volatile nowhere)(void) = NULL;
  received = 0;
  if (sigsetjmp(landing, 1) == 0) nowhere();
  CHECK(received == SIGSEGV && address == NULL);
}

static int __attribute__((noinline)) deeper(volatile char* above) {
  volatile char frame[512];
  if (above == NULL) return 0;  // never: the stack ends first
  frame[0] = above[0];
  return deeper(frame) + frame[0];
}

static void* overflow(void* stack) {
  const stack_t alternate = {.ss_sp = stack, .ss_size = 64 << 10};
  volatile char top = 0;
  EXPECT(sigaltstack(&alternate, NULL) == 0);
  if (sigsetjmp(landing, 1) == 0) deeper(&top);
  EXPECT(received == SIGSEGV && (char*)stack_in_handler >= (char*)stack);
  EXPECT((char*)stack_in_handler < (char*)stack + (64 << 10));
  return NULL;
}

static void stack_overflow(void) {
  pthread_t thread;
  void* stack = malloc(64 << 10);
  handle_fault(SIGSEGV, SA_ONSTACK);
  CHECK(pthread_create(&thread, NULL, overflow, stack) == 0 && pthread_join(thread, NULL) == 0);
  stack_t none;
  CHECK(sigaltstack(NULL, &none) == 0 && (none.ss_flags & SS_DISABLE) != 0);
  free(stack);
}

static atomic_int thread_ready;
static pthread_t receiver;

static void on_thread_signal(int number) {
  received = number;
  EXPECT(pthread_equal(pthread_self(), receiver));
}

static void* wait_for_signal(void* unused) {
  (void)unused;
  atomic_store(&thread_ready, 1);
  while (received == 0) usleep(1000);
  return NULL;
}

static void signal_to_a_thread(void) {
  handle(SIGUSR1, on_thread_signal);
  CHECK(pthread_create(&receiver, NULL, wait_for_signal, NULL) == 0);
  while (!atomic_load(&thread_ready)) usleep(1000);
  CHECK(pthread_kill(receiver, SIGUSR1) == 0 && pthread_join(receiver, NULL) == 0);
  CHECK(received == SIGUSR1);
}

static void interrupted_sleep_and_timers(void) {
  const struct itimerval often = {{0, 2000}, {0, 2000}}, off = {0};
  const struct timespec long_time = {100, 0};
  struct timespec left = {0, 0};
  handle(SIGALRM, on_signal);
  // More than once: the first may come before the sleep begins.
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  CHECK_ERRNO(nanosleep(&long_time, &left), EINTR);
  CHECK(received == SIGALRM && left.tv_sec >= 1 && left.tv_sec < 100);
  while (count < 4) pause();
  CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
  count = 0;
  CHECK(alarm(50) == 0 && alarm(1) > 0);
  while (count == 0) usleep(1000);
  CHECK(alarm(0) == 0);
}

static void timer_while_computing(void) {
  const struct itimerval soon = {{0, 0}, {0, 5000}};
  volatile uint64_t turns = 0;
  handle(SIGALRM, on_signal);
  CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
  while (received == 0) turns++;
  CHECK(received == SIGALRM && turns > 0);
}

static void suspend_with_mask(void) {
  sigset_t set, old;
  handle(SIGUSR1, on_signal);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && raise(SIGUSR1) == 0 && count == 0);
  CHECK_ERRNO(sigsuspend(&old), EINTR);
  CHECK(count == 1 && sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

int main(void) {
  RUN(raise_and_return);
  RUN(mask_and_pending);
  RUN(flags_of_a_handler);
  RUN(fault_address_and_jump);
  RUN(other_faults);
  RUN(stack_overflow);
  RUN(signal_to_a_thread);
  RUN(interrupted_sleep_and_timers);
  RUN(timer_while_computing);
  RUN(suspend_with_mask);
  return check_done();
}
