/* Starts one program as a container: own namespaces where the machine allows them, then exec.
 *
 * Usage: launch SPEC_FD STATUS_FD. The launcher clones the container with CLONE_PARENT, so that whoever started the launcher is
 * the container's parent: no process of ours stays beside it. Only without a pid namespace does the launcher stay, as the
 * subreaper that ends what the program leaves behind. On the status descriptor come "pid N", then nothing (exec closed it) or "error ...". */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_fd = -1;

void fail(const char *stage, const char *subject) {
    char line[4096];
    int length = snprintf(line, sizeof line, "error %s %d %s\n", stage, errno, subject ? subject : "");
    if (length > 0 && write(status_fd, line, (size_t)length < sizeof line ? (size_t)length : sizeof line) < 0) _exit(126);
    _exit(127);
}

static char *read_all(int fd, size_t *length) {
    size_t capacity = 1 << 16;
    char *data = malloc(capacity);
    *length = 0;
    for (;;) {
        if (!data) fail("spec", "memory");
        ssize_t got = read(fd, data + *length, capacity - *length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail("spec", "read");
        if (got == 0) return data;
        *length += (size_t)got;
        if (*length == capacity) data = realloc(data, capacity *= 2);
    }
}

static const char *next(char **cursor, char *end) {
    if (*cursor >= end) { errno = EINVAL; fail("spec", "short"); }
    char *value = *cursor;
    *cursor += strlen(value) + 1;
    return value;
}

#define PUSH(list, count, limit, value) do { if ((count) >= (limit)) { errno = E2BIG; fail("spec", #list); } (list)[(count)++] = (value); } while (0)

static void parse(struct spec *spec, char *data, size_t length) {
    char *cursor = data, *end = data + length;
    spec->argv = calloc(length + 2, sizeof *spec->argv);
    spec->envp = calloc(length + 2, sizeof *spec->envp);
    while (cursor < end) {
        const char *key = next(&cursor, end), *value = next(&cursor, end);
        if (!strcmp(key, "arg")) spec->argv[spec->argc++] = (char *)value;
        else if (!strcmp(key, "env")) spec->envp[spec->envc++] = (char *)value;
        else if (!strcmp(key, "cwd")) spec->cwd = value;
        else if (!strcmp(key, "hostname")) spec->hostname = value;
        else if (!strcmp(key, "base")) spec->base = value;
        else if (!strcmp(key, "upper")) spec->upper = value;
        else if (!strcmp(key, "tmpfs")) spec->tmpfs_size = value;
        else if (!strcmp(key, "shim")) spec->shim = value;
        else if (!strcmp(key, "layer")) PUSH(spec->layers, spec->layer_count, MAX_LAYERS, value);
        else if (!strcmp(key, "hostpath")) PUSH(spec->host_paths, spec->host_path_count, 32, value);
        else if (!strcmp(key, "cgroup")) PUSH(spec->cgroups, spec->cgroup_count, 16, value);
        else if (!strcmp(key, "group")) PUSH(spec->groups, spec->group_count, MAX_GROUPS, (gid_t)strtoul(value, NULL, 10));
        else if (!strcmp(key, "uid")) spec->uid = (uid_t)strtoul(value, NULL, 10);
        else if (!strcmp(key, "gid")) spec->gid = (gid_t)strtoul(value, NULL, 10);
        else if (!strcmp(key, "join")) spec->join = (pid_t)atoi(value);
        else if (!strcmp(key, "sharepid")) spec->share_pid = (pid_t)atoi(value);
        else if (!strcmp(key, "capabilities")) spec->capabilities = strtoull(value, NULL, 16);
        else if (!strcmp(key, "mount")) {
            struct mount_entry entry = {next(&cursor, end), next(&cursor, end), !strcmp(value, "ro")};
            PUSH(spec->mounts, spec->mount_count, MAX_MOUNTS, entry);
        } else if (!strcmp(key, "file")) {
            struct file_entry entry = {value, next(&cursor, end)};
            PUSH(spec->files, spec->file_count, MAX_FILES, entry);
        } else if (!strcmp(key, "limit")) {
            if (spec->limit_count == 16) { errno = E2BIG; fail("spec", "limits"); }
            spec->limits[spec->limit_count].resource = atoi(value);
            spec->limits[spec->limit_count++].value = strtoull(next(&cursor, end), NULL, 10);
        } else if (!strcmp(key, "flag")) {
            if (!strcmp(value, "host")) spec->host_files = true;
            else if (!strcmp(value, "userns")) spec->user_namespace = true;
            else if (!strcmp(value, "mountns")) spec->mount_namespace = true;
            else if (!strcmp(value, "pidns")) spec->pid_namespace = true;
            else if (!strcmp(value, "monitor")) spec->monitor = true;
            else if (!strcmp(value, "nonewprivs")) spec->no_new_privileges = true;
            else if (!strcmp(value, "readonly")) spec->read_only_root = true;
            else if (!strcmp(value, "tty")) spec->terminal = true;
            else if (!strcmp(value, "pause")) spec->pause = true;
            else if (!strcmp(value, "survive")) spec->survive = true;
            else { errno = EINVAL; fail("spec", value); }
        } else { errno = EINVAL; fail("spec", key); }
    }
}

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) fail("write", path);
    close(fd);
}

static void enter(pid_t pid, const char *kind, int type) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, type) < 0) fail("setns", path);
    close(fd);
}

/* The only mapping an unprivileged user may write: its own id, seen inside as root. Other ids are the shim's business. */
static void new_user_namespace(void) {
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) < 0) fail("unshare", "user namespace");
    int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "deny", 4) < 0) fail("write", "/proc/self/setgroups");
        close(fd);
    }
    snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
    write_text("/proc/self/gid_map", map);
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    write_text("/proc/self/uid_map", map);
}

static void enter_namespaces(const struct spec *spec) {
    for (int i = 0; i < spec->cgroup_count; i++) write_text(spec->cgroups[i], "0");
    pid_t user_of = spec->join ? spec->join : spec->share_pid;
    if (spec->user_namespace && user_of) enter(user_of, "user", CLONE_NEWUSER);
    else if (spec->user_namespace) new_user_namespace();
    int fresh = 0;
    if (spec->join) {
        if (spec->pid_namespace) enter(spec->join, "pid", CLONE_NEWPID);
        if (spec->mount_namespace) {
            enter(spec->join, "uts", CLONE_NEWUTS);
            enter(spec->join, "mnt", CLONE_NEWNS);
        }
        return;
    }
    if (spec->pid_namespace && spec->share_pid) enter(spec->share_pid, "pid", CLONE_NEWPID);
    else if (spec->pid_namespace) fresh |= CLONE_NEWPID;
    if (spec->mount_namespace) fresh |= CLONE_NEWNS | CLONE_NEWUTS;
    if (fresh && unshare(fresh) < 0) fail("unshare", "mount, pid and uts namespaces");
}

static void reap(int signal) {
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

/* The first process of a shared pid namespace: holds it open and reaps its orphans, like the pause container of a pod. */
static void hold(void) {
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    prctl(PR_SET_NAME, "pause");
    close(status_fd);
    for (;;) pause();
}

static void container(const struct spec *spec) {
    if (!spec->survive && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("prctl", "parent death signal");
    setsid();
    become(spec);
    run_program(spec);
}

static pid_t program; /* what the monitor waits for */

/* The agent is gone: the program must go too, and the monitor lives on to end what it leaves. */
static void end_program(int signal) {
    (void)signal;
    kill(program, SIGKILL);
}

/* Without a pid namespace: wait for the program, then end every descendant that it left; the exit status is the program's own. */
static int monitor(pid_t child, bool survive, pid_t parent) {
    int status = 0, last = 0;
    struct sigaction action = {.sa_handler = end_program};
    program = child;
    sigaction(SIGTERM, &action, NULL);
    if (!survive && prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) return 255;
    if (getppid() != parent) kill(child, SIGKILL);
    for (;;) {
        pid_t got = waitpid(-1, &status, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got == child) break;
        if (got < 0) return 255;
    }
    last = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    for (int round = 0; round < 100; round++) {
        char path[64], list[4096];
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, list, sizeof list - 1);
        if (fd >= 0) close(fd);
        if (length <= 0) break;
        list[length] = 0;
        for (char *word = strtok(list, " \n"); word; word = strtok(NULL, " \n")) kill((pid_t)atoi(word), SIGKILL);
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) break;
    }
    return last;
}

int main(int argc, char **argv) {
    static struct spec spec;
    if (argc != 3) return 2;
    size_t length;
    status_fd = atoi(argv[2]);
    fcntl(status_fd, F_SETFD, FD_CLOEXEC);
    int spec_fd = atoi(argv[1]);
    char *data = read_all(spec_fd, &length);
    close(spec_fd);
    parse(&spec, data, length);
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    pid_t parent = getppid();
    if (spec.monitor && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail("prctl", "subreaper");
    enter_namespaces(&spec);
    pid_t pid = spec.monitor ? fork() : (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid < 0) fail("clone", "");
    if (pid == 0) {
        if (spec.pause) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            setsid();
            hold();
        }
        if (!spec.join && spec.mount_namespace) build_root(&spec);
        container(&spec);
    }
    char line[32];
    int size = snprintf(line, sizeof line, "pid %d\n", (int)pid);
    if (write(status_fd, line, (size_t)size) < 0) _exit(126);
    if (!spec.monitor) _exit(0);
    close(status_fd);
    for (int fd = 0; fd < 3; fd++) close(fd);
    _exit(monitor(pid, spec.survive, parent));
}
