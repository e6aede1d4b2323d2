/* Preloaded into a server under test: ends the process at one chosen system call, or makes that call fail once.
 *
 * E2E_CALLS_FOLDER   only calls about files below this folder are counted
 * E2E_CALLS_WITHIN   and only those whose path has this text in it; unset: all
 * E2E_CALLS_ARMED    a file: calls are counted while it exists; unset: from the start of the process on
 * E2E_CALLS_NAME     which call: rename, unlink, fsync, fdatasync, mkdir, ftruncate or write (write, writev, pwrite)
 * E2E_CALLS_NUMBER   the number of the call, from 1, over all threads
 * E2E_CALLS_EVERY    set: not only this one call, but each one whose number is a multiple of it
 * E2E_CALLS_ERRNO    0 kills the process before the call; another number is the call's error
 * E2E_CALLS_DONE     a file to which a line is added when it has happened
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long counted;

static int concerns_us(const char *path) {
    const char *folder = getenv("E2E_CALLS_FOLDER");
    const char *within = getenv("E2E_CALLS_WITHIN");
    return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0 &&
           (within == NULL || strstr(path, within) != NULL);
}

static int path_of(int fd, char *out, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, size - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return 1;
}

/* 0: go on. Otherwise the error with which the call fails. Does not return where the process ends. */
static int happens(const char *name, const char *path) {
    const char *wanted = getenv("E2E_CALLS_NAME");
    if (wanted == NULL || strcmp(wanted, name) != 0 || !concerns_us(path)) return 0;
    const char *armed = getenv("E2E_CALLS_ARMED");
    if (armed != NULL && syscall(SYS_access, armed, F_OK) != 0) return 0;
    long number = atomic_fetch_add(&counted, 1) + 1, wanted_number = atol(getenv("E2E_CALLS_NUMBER"));
    if (getenv("E2E_CALLS_EVERY") == NULL ? number != wanted_number : number % wanted_number != 0) return 0;
    int done = (int)syscall(SYS_openat, AT_FDCWD, getenv("E2E_CALLS_DONE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (done >= 0) {
        char line[4200];
        int length = snprintf(line, sizeof line, "%s %s\n", name, path);
        syscall(SYS_write, done, line, (size_t)length);
        syscall(SYS_close, done);
    }
    int error = atoi(getenv("E2E_CALLS_ERRNO"));
    if (error == 0) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    return error;
}

static int happens_at(const char *name, int fd) {
    char path[4096];
    const char *wanted = getenv("E2E_CALLS_NAME");
    if (wanted == NULL || strcmp(wanted, name) != 0 || !path_of(fd, path, sizeof path)) return 0;
    return happens(name, path);
}

#define FAIL_WITH(expression)      \
    do {                           \
        int error = (expression);  \
        if (error != 0) {          \
            errno = error;         \
            return -1;             \
        }                          \
    } while (0)

int rename(const char *from, const char *to) {
    FAIL_WITH(happens("rename", to));
    return (int)syscall(SYS_rename, from, to);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    FAIL_WITH(happens("rename", to));
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}
int unlink(const char *path) {
    FAIL_WITH(happens("unlink", path));
    return (int)syscall(SYS_unlink, path);
}
int mkdir(const char *path, mode_t mode) {
    FAIL_WITH(happens("mkdir", path));
    return (int)syscall(SYS_mkdir, path, mode);
}
int fsync(int fd) {
    FAIL_WITH(happens_at("fsync", fd));
    return (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd) {
    FAIL_WITH(happens_at("fdatasync", fd));
    return (int)syscall(SYS_fdatasync, fd);
}
int ftruncate(int fd, off_t length) {
    FAIL_WITH(happens_at("ftruncate", fd));
    return (int)syscall(SYS_ftruncate, fd, length);
}
ssize_t write(int fd, const void *data, size_t size) {
    FAIL_WITH(happens_at("write", fd));
    return syscall(SYS_write, fd, data, size);
}
ssize_t writev(int fd, const struct iovec *buffers, int count) {
    FAIL_WITH(happens_at("write", fd));
    return syscall(SYS_writev, fd, buffers, count);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    FAIL_WITH(happens_at("write", fd));
    return syscall(SYS_pwrite64, fd, data, size, at);
}

/* The engine is loaded with its own libc in front (RTLD_DEEPBIND); without that flag its calls come here too. */
void *dlopen(const char *file, int mode) {
    static void *(*real)(const char *, int);
    if (real == NULL) real = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return real(file, mode & ~RTLD_DEEPBIND);
}
