/* Who the program is (user, groups, capabilities, limits) and how it is found and started. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void limit_capabilities(unsigned long long kept) {
    for (int capability = 0; capability < 64; capability++) {
        if (kept & (1ULL << capability)) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM) fail("capabilities", "bounding set");
    }
}

/* Root loses what it may no longer gain; a plain user has nothing to lose. */
static void apply_capabilities(unsigned long long kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof data);
    if (syscall(SYS_capget, &header, data) < 0) fail("capabilities", "capget");
    for (int i = 0; i < 2; i++) {
        unsigned mask = (unsigned)(kept >> (32 * i));
        data[i].permitted &= mask;
        data[i].effective &= mask;
        data[i].inheritable &= mask;
    }
    if (syscall(SYS_capset, &header, data) < 0) fail("capabilities", "capset");
}

/* In a real pod every user may bind low ports (containerd opens them in the pod's network namespace); here that takes a capability. */
static void keep_low_ports(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof data);
    data[0].permitted = data[0].effective = data[0].inheritable = 1u << CAP_NET_BIND_SERVICE;
    if (syscall(SYS_capset, &header, data) == 0) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

void become(const struct spec *spec) {
    if (spec->terminal && ioctl(0, TIOCSCTTY, 0) < 0 && errno != EPERM) fail("terminal", "controlling terminal");
    for (int i = 0; i < spec->limit_count; i++) {
        struct rlimit limit = {spec->limits[i].value, spec->limits[i].value}, old;
        if (getrlimit(spec->limits[i].resource, &old) == 0 && old.rlim_max < limit.rlim_max) limit.rlim_cur = limit.rlim_max = old.rlim_max;
        if (setrlimit(spec->limits[i].resource, &limit) < 0) fail("limit", "");
    }
    if (!spec->user_namespace && geteuid() == 0) {
        limit_capabilities(spec->capabilities);
        if (setgroups((size_t)spec->group_count, spec->groups) < 0 && errno != EPERM) fail("setgroups", "");
        if (setresgid(spec->gid, spec->gid, spec->gid) < 0) fail("setgid", "");
        if (spec->uid != 0) prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
        if (setresuid(spec->uid, spec->uid, spec->uid) < 0) fail("setuid", "");
        if (spec->uid == 0) apply_capabilities(spec->capabilities);
        else keep_low_ports();
    }
    /* A change of identity clears the parent death signal. */
    if (!spec->survive && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("prctl", "parent death signal");
    if (spec->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("prctl", "no new privileges");
    umask(022);
    if (spec->cwd && chdir(spec->cwd) < 0) {
        if (!spec->mount_namespace && errno == ENOENT) make_directories(spec->cwd, 0755);
        if (chdir(spec->cwd) < 0) fail("chdir", spec->cwd);
    }
}

static bool runnable(const char *path, int *error) {
    struct stat state;
    if (stat(path, &state) < 0) {
        if (*error != EACCES) *error = errno;
        return false;
    }
    if (S_ISDIR(state.st_mode) || !(state.st_mode & 0111)) {
        *error = S_ISDIR(state.st_mode) ? EISDIR : EACCES;
        return false;
    }
    return true;
}

static void start(const struct spec *spec, const char *path) {
    execve(path, spec->argv, spec->envp);
    if (errno == ENOEXEC) fail("execformat", path);
    fail("exec", path);
}

void run_program(const struct spec *spec) {
    const char *name = spec->argv[0], *search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char path[PATH_MAX];
    int error = ENOENT;
    if (!name || !*name) { errno = ENOENT; fail("lookup", ""); }
    if (strchr(name, '/')) {
        if (runnable(name, &error)) start(spec, name);
        errno = error;
        fail("stat", name);
    }
    for (int i = 0; i < spec->envc; i++)
        if (!strncmp(spec->envp[i], "PATH=", 5)) search = spec->envp[i] + 5;
    for (const char *part = search; part; part = strchr(part, ':') ? strchr(part, ':') + 1 : NULL) {
        size_t length = strcspn(part, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)(length ? length : 1), length ? part : ".", name);
        if (runnable(path, &error)) start(spec, path);
    }
    errno = error == EACCES ? EACCES : ENOENT;
    fail("lookup", name);
}
