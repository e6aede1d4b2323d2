/* Preloaded into a server under test: makes disks and clocks misbehave on demand.
 *
 * E2E_SHIM names a folder. While the file is there:
 *   fail-fdatasync   the next fdatasync of a file below a folder "wal" fails with EIO; taking the file away is what counts it
 *   disk-full        statvfs and fstatvfs say that nothing is free
 *   clock-offset-s   8 bytes, a number of seconds that is added to the wall clock as it is now; looked for once
 * E2E_CLOCK_OFFSET_S is added to the wall clock; a timed wait on that clock is put back before the kernel sees it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int switch_path(char *out, size_t size, const char *name) {
    const char *folder = getenv("E2E_SHIM");
    return folder != NULL && (size_t)snprintf(out, size, "%s/%s", folder, name) < size;
}

static int is_log_file(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/wal/") != NULL;
}

int fdatasync(int fd) {
    char path[4096];
    if (is_log_file(fd) && switch_path(path, sizeof path, "fail-fdatasync") && unlink(path) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static int is_full(void) {
    char path[4096];
    return switch_path(path, sizeof path, "disk-full") && access(path, F_OK) == 0;
}

#define NOTHING_FREE(name, argument, kind)                                                   \
    int name(argument what, struct kind *out) {                                              \
        static int (*real)(argument, struct kind *);                                         \
        if (real == NULL) real = (int (*)(argument, struct kind *))dlsym(RTLD_NEXT, #name);  \
        int result = real(what, out);                                                        \
        if (result == 0 && is_full()) out->f_bavail = out->f_bfree = 0;                      \
        return result;                                                                       \
    }
NOTHING_FREE(statvfs, const char *, statvfs)
NOTHING_FREE(fstatvfs, int, statvfs)
NOTHING_FREE(statvfs64, const char *, statvfs64)
NOTHING_FREE(fstatvfs64, int, statvfs64)

static time_t offset_s(void) {
    static int known;
    static time_t value;
    static volatile int64_t *changing;
    if (!known) {
        const char *text = getenv("E2E_CLOCK_OFFSET_S");
        char path[4096];
        int file = switch_path(path, sizeof path, "clock-offset-s") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file >= 0) {
            void *mapped = mmap(NULL, sizeof *changing, PROT_READ, MAP_SHARED, file, 0);
            if (mapped != MAP_FAILED) changing = mapped;
            close(file);
        }
        value = text == NULL ? 0 : (time_t)atoll(text);
        known = 1;
    }
    return value + (changing == NULL ? 0 : (time_t)*changing);
}

static int is_wall_clock(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *out) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, out);
    if (result == 0 && is_wall_clock(clock)) out->tv_sec += offset_s();
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) *out = now.tv_sec;
    return now.tv_sec;
}

/* A condition does not say which clock it waits on; an instant within a day of the shifted wall clock is one of that clock. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (real == NULL)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec true_until = *until;
    if (offset_s() != 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (llabs((long long)until->tv_sec - (long long)now.tv_sec) < 43200) true_until.tv_sec -= offset_s();
    }
    return real(condition, mutex, &true_until);
}
