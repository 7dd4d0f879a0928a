/* The container's clock, which a failure of the catalogue puts wrong: CLOCK_REALTIME, and waits until a moment of it.
 *
 * The offset, in nanoseconds, is one integer in a file that the node's agent writes in place and every program of its containers has
 * mapped: it takes effect at once, in programs that run. Monotonic time, and so every "in five seconds", stays right, as it does on a
 * machine whose clock is set. Times of files are the kernel's. */
#define _GNU_SOURCE
#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define UPTIME 300000000 /* ten years in seconds: a moment beyond is one of the calendar, one before is counted from the machine's start */

static const volatile int64_t *offset;

void halab_clock(const char *path) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *found = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (found != MAP_FAILED) offset = found;
}

static void shift(struct timespec *moment, int64_t by) {
    int64_t nanoseconds = moment->tv_nsec + by % SECOND;
    moment->tv_sec += by / SECOND;
    if (nanoseconds < 0) nanoseconds += SECOND, moment->tv_sec--;
    if (nanoseconds >= SECOND) nanoseconds -= SECOND, moment->tv_sec++;
    moment->tv_nsec = nanoseconds;
}

static bool of_the_calendar(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI; }

/* The program's moment in the kernel's time; `space` holds it if they differ. */
static const struct timespec *right(const struct timespec *moment, struct timespec *space) {
    int64_t by = offset ? *offset : 0;
    if (!by || !moment || moment->tv_sec < UPTIME) return moment;
    *space = *moment;
    shift(space, -by);
    return space;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))halab_real("clock_gettime");
    int result = real(clock, now);
    if (result == 0 && offset && *offset && of_the_calendar(clock)) shift(now, *offset);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = (int (*)(struct timeval *, void *))halab_real("gettimeofday");
    int result = real(now, zone);
    if (result == 0 && now && offset && *offset) {
        struct timespec moment = {now->tv_sec, now->tv_usec * 1000};
        shift(&moment, *offset);
        *now = (struct timeval){moment.tv_sec, moment.tv_nsec / 1000};
    }
    return result;
}

time_t time(time_t *now) {
    struct timespec moment;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &moment) < 0) return -1;
    if (now) *now = moment.tv_sec;
    return moment.tv_sec;
}

int timespec_get(struct timespec *now, int base) { return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0; }

/* Waits until a moment. */

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    REAL(int, "clock_nanosleep");
    struct timespec space;
    return real(clock, flags, flags & TIMER_ABSTIME ? right(until, &space) : until, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    REAL(int, "pthread_cond_timedwait");
    struct timespec space;
    return real(condition, mutex, right(until, &space));
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock, const struct timespec *restrict until) {
    REAL(int, "pthread_cond_clockwait");
    struct timespec space;
    return real(condition, mutex, clock, right(until, &space));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    REAL(int, "pthread_mutex_timedlock");
    struct timespec space;
    return real(mutex, right(until, &space));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    REAL(int, "sem_timedwait");
    struct timespec space;
    return real(semaphore, right(until, &space));
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until) {
    REAL(int, "sem_clockwait");
    struct timespec space;
    return real(semaphore, clock, right(until, &space));
}

int timerfd_settime(int fd, int flags, const struct itimerspec *timer, struct itimerspec *old) {
    REAL(int, "timerfd_settime");
    struct itimerspec space;
    if (flags & TFD_TIMER_ABSTIME && timer && right(&timer->it_value, &space.it_value) == &space.it_value) {
        space.it_interval = timer->it_interval;
        timer = &space;
    }
    return real(fd, flags, timer, old);
}
