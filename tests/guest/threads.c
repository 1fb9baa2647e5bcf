// threads.c: pthreads: creation, mutual exclusion, waiting, thread-local storage, fairness.
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { kThreads = 50, kRounds = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counter;

static void* plus_one(void* value) { return (void*)((intptr_t)value + 1); }

static void create_and_join(void) {
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, plus_one, (void*)41) == 0);
  CHECK(pthread_join(thread, &result) == 0 && result == (void*)42);
  for (int i = 0; i < 200; i++) {
    CHECK(pthread_create(&thread, NULL, plus_one, NULL) == 0 && pthread_join(thread, NULL) == 0);
  }
}

static void* add_locked(void* unused) {
  (void)unused;
  for (int i = 0; i < kRounds; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void fifty_threads_and_a_mutex(void) {
  pthread_t threads[kThreads];
  counter = 0;
  for (int i = 0; i < kThreads; i++) CHECK(!pthread_create(&threads[i], NULL, add_locked, NULL));
  for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(counter == (long)kThreads * kRounds);
}

static pthread_barrier_t all_there;

static void* meet(void* number) {
  volatile char stack[20000];
  stack[0] = (char)(intptr_t)number;
  pthread_barrier_wait(&all_there);
  return (void*)(intptr_t)stack[0];
}

// The C library keeps the stacks of a few: those of more are mapped and given back each time.
static void crowds(void) {
  enum { kCrowd = 16 };
  pthread_t threads[kCrowd];
  CHECK(pthread_barrier_init(&all_there, NULL, kCrowd) == 0);
  for (int round = 0; round < 40; round++) {
    for (intptr_t i = 0; i < kCrowd; i++) {
      CHECK(pthread_create(&threads[i], NULL, meet, (void*)i) == 0);
    }
    for (intptr_t i = 0; i < kCrowd; i++) {
      void* result = NULL;
      CHECK(pthread_join(threads[i], &result) == 0 && result == (void*)i);
    }
  }
}

static void* pong(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (counter < 2 * kRounds) {
    if (counter % 2 == 1) {
      counter++;
      pthread_cond_signal(&changed);
    } else {
      pthread_cond_wait(&changed, &mutex);
    }
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void condition_variable(void) {
  pthread_t thread;
  counter = 0;
  CHECK(pthread_create(&thread, NULL, pong, NULL) == 0);
  pthread_mutex_lock(&mutex);
  while (counter < 2 * kRounds) {
    if (counter % 2 == 0) {
      counter++;
      pthread_cond_signal(&changed);
    } else {
      pthread_cond_wait(&changed, &mutex);
    }
  }
  pthread_mutex_unlock(&mutex);
  CHECK(pthread_join(thread, NULL) == 0 && counter == 2 * kRounds);
}

static void condition_timeout(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 20 * 1000 * 1000;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&mutex);
  const int result = pthread_cond_timedwait(&changed, &mutex, &until);
  pthread_mutex_unlock(&mutex);
  CHECK(result == ETIMEDOUT);
}

static pthread_barrier_t barrier;
static atomic_int arrived, serial;

static void* at_barrier(void* unused) {
  (void)unused;
  for (int round = 1; round <= 20; round++) {
    atomic_fetch_add(&arrived, 1);
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
    EXPECT(atomic_load(&arrived) >= round * 8);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static void barriers(void) {
  pthread_t threads[8];
  CHECK(pthread_barrier_init(&barrier, NULL, 8) == 0);
  for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, at_barrier, NULL) == 0);
  for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(serial == 20 && pthread_barrier_destroy(&barrier) == 0);
}

static _Thread_local int own = 7;
static _Thread_local char block[5000];
static pthread_key_t key;
static atomic_int destroyed;

static void on_thread_end(void* value) { atomic_fetch_add(&destroyed, (int)(intptr_t)value); }

static void* use_own(void* number) {
  EXPECT(own == 7 && block[4999] == 0);
  own = (int)(intptr_t)number;
  memset(block, own, sizeof block);
  pthread_setspecific(key, number);
  sched_yield();
  EXPECT(own == (int)(intptr_t)number && block[4999] == (char)own);
  EXPECT(pthread_getspecific(key) == number);
  return NULL;
}

static void thread_local_storage(void) {
  pthread_t threads[10];
  CHECK(pthread_key_create(&key, on_thread_end) == 0);
  for (intptr_t i = 0; i < 10; i++) {
    CHECK(pthread_create(&threads[i], NULL, use_own, (void*)(i + 1)) == 0);
  }
  for (int i = 0; i < 10; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(own == 7 && destroyed == 55 && pthread_key_delete(key) == 0);
}

static atomic_int stop;

static void* spin(void* unused) {
  volatile uint64_t turns = 0;
  (void)unused;
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) turns++;
  return NULL;
}

// Two threads that never call the kernel must not keep a third from waking up.
static void preemption(void) {
  pthread_t spinners[2];
  struct timespec pause = {0, 5 * 1000 * 1000};
  stop = 0;
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&spinners[i], NULL, spin, NULL) == 0);
  for (int i = 0; i < 5; i++) CHECK(nanosleep(&pause, NULL) == 0);
  stop = 1;
  for (int i = 0; i < 2; i++) CHECK(pthread_join(spinners[i], NULL) == 0);
}

static atomic_int detached_done;

static void* detached(void* unused) {
  (void)unused;
  atomic_store(&detached_done, 1);
  return NULL;
}

static void attributes(void) {
  pthread_attr_t attr;
  pthread_t thread;
  size_t size = 0;
  CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 256 << 10) == 0);
  CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_create(&thread, &attr, detached, NULL) == 0);
  while (!atomic_load(&detached_done)) sched_yield();
  CHECK(pthread_attr_destroy(&attr) == 0 && pthread_getattr_np(pthread_self(), &attr) == 0);
  CHECK(pthread_attr_getstacksize(&attr, &size) == 0 && size >= 64 << 10);
  CHECK(pthread_attr_destroy(&attr) == 0);
}

static sem_t semaphore;

static void* post(void* unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) sem_post(&semaphore);
  return NULL;
}

static void semaphores(void) {
  pthread_t thread;
  CHECK(sem_init(&semaphore, 0, 0) == 0 && pthread_create(&thread, NULL, post, NULL) == 0);
  for (int i = 0; i < 100; i++) CHECK(sem_wait(&semaphore) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK_ERRNO(sem_trywait(&semaphore), EAGAIN);
}

int main(void) {
  RUN(create_and_join);
  RUN(fifty_threads_and_a_mutex);
  RUN(crowds);
  RUN(condition_variable);
  RUN(condition_timeout);
  RUN(barriers);
  RUN(thread_local_storage);
  RUN(preemption);
  RUN(attributes);
  RUN(semaphores);
  return check_done();
}
