/* Starting programs without a mount namespace: the program's real place, and the shim in its environment whatever the caller passes. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static const char *KEPT[] = {"LD_PRELOAD", "HALAB_SETTINGS", NULL};
static char *kept[3];

__attribute__((constructor(102))) static void keep(void) {
    for (int i = 0; KEPT[i]; i++) {
        const char *value = getenv(KEPT[i]);
        if (value && asprintf(&kept[i], "%s=%s", KEPT[i], value) < 0) kept[i] = NULL;
    }
}

/* `given` with what the shim needs; `space` must hold two entries more. */
static void with_shim(char *const given[], char **space) {
    int count = 0;
    for (int i = 0; given && given[i]; i++) space[count++] = given[i];
    for (int i = 0; KEPT[i]; i++) {
        size_t length = strlen(KEPT[i]);
        bool present = false;
        for (int j = 0; j < count; j++) present = present || (!strncmp(space[j], KEPT[i], length) && space[j][length] == '=');
        if (!present && kept[i]) space[count++] = kept[i];
    }
    space[count] = NULL;
}

static int size_of(char *const list[]) {
    int count = 0;
    while (list && list[count]) count++;
    return count;
}

int execve(const char *path, char *const argv[], char *const env[]) {
    REAL(int, "execve");
    if (!halab.rewrite_paths) return real(path, argv, env);
    char space[PATH_MAX];
    const char *place = halab_path(AT_FDCWD, path, FOLLOW, space);
    if (!place) return -1;
    char *full[size_of(env) + 3];
    with_shim(env, full);
    return real(place, argv, full);
}

int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }

/* Looks a name up in PATH as the container sees it. */
static bool look_up(const char *name, char *found) {
    if (strchr(name, '/')) {
        snprintf(found, PATH_MAX, "%s", name);
        return true;
    }
    const char *search = getenv("PATH");
    for (const char *part = search ? search : "/bin:/usr/bin"; part; part = strchr(part, ':') ? strchr(part, ':') + 1 : NULL) {
        int length = (int)strcspn(part, ":");
        snprintf(found, PATH_MAX, "%.*s/%s", length ? length : 1, length ? part : ".", name);
        char space[PATH_MAX];
        struct stat state;
        const char *place = halab_path(AT_FDCWD, found, FOLLOW, space);
        if (place && stat(place, &state) == 0 && S_ISREG(state.st_mode) && state.st_mode & 0111) return true;
    }
    errno = ENOENT;
    return false;
}

int execvpe(const char *name, char *const argv[], char *const env[]) {
    REAL(int, "execvpe");
    if (!halab.rewrite_paths) return real(name, argv, env);
    char found[PATH_MAX];
    return look_up(name, found) ? execve(found, argv, env) : -1;
}

int execvp(const char *name, char *const argv[]) {
    REAL(int, "execvp");
    return halab.rewrite_paths ? execvpe(name, argv, environ) : real(name, argv);
}

#define GATHER(list, argv, first)                                           \
    va_list list, counted;                                                  \
    va_start(list, first);                                                  \
    va_copy(counted, list);                                                 \
    int count = 1;                                                          \
    while (va_arg(counted, char *)) count++;                                \
    va_end(counted);                                                        \
    char *argv[count + 1];                                                  \
    argv[0] = (char *)first;                                                \
    for (int i = 1; i <= count; i++) argv[i] = va_arg(list, char *)

int execl(const char *path, const char *first, ...) {
    GATHER(list, argv, first);
    va_end(list);
    return execve(path, argv, environ);
}

int execlp(const char *name, const char *first, ...) {
    GATHER(list, argv, first);
    va_end(list);
    return execvp(name, argv);
}

int execle(const char *path, const char *first, ...) {
    GATHER(list, argv, first);
    char *const *env = va_arg(list, char *const *);
    va_end(list);
    return execve(path, argv, env);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attributes,
                char *const argv[restrict], char *const env[restrict]) {
    REAL(int, "posix_spawn");
    if (!halab.rewrite_paths) return real(pid, path, actions, attributes, argv, env);
    char space[PATH_MAX];
    const char *place = halab_path(AT_FDCWD, path, FOLLOW, space);
    if (!place) return errno;
    char *full[size_of(env) + 3];
    with_shim(env, full);
    return real(pid, place, actions, attributes, argv, full);
}

int posix_spawnp(pid_t *restrict pid, const char *restrict name, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *restrict attributes, char *const argv[restrict], char *const env[restrict]) {
    REAL(int, "posix_spawnp");
    if (!halab.rewrite_paths) return real(pid, name, actions, attributes, argv, env);
    char found[PATH_MAX];
    return look_up(name, found) ? posix_spawn(pid, found, actions, attributes, argv, env) : errno;
}
