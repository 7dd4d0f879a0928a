/* Where a path of the container really lies, on machines without mount namespaces: volumes first, then what the container wrote
 * (upper), then the image's layers, then the host. What is changed is first copied to upper; what is removed leaves a mark there
 * (".wh.NAME", as image layers have it), so upper can become a layer. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS 40

/* Plain system calls: everything in here must see the real files. */
static int exists(const char *path, struct stat *state) {
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, state, AT_SYMLINK_NOFOLLOW) == 0;
}

static ssize_t link_target(const char *path, char *space, size_t size) {
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, path, space, size - 1);
    if (length >= 0) space[length] = 0;
    return length;
}

static bool below(const char *path, const char *top) {
    size_t length = strlen(top);
    return !strncmp(path, top, length) && (path[length] == 0 || path[length] == '/');
}

size_t halab_virtual(const char *real, char *space, size_t size) {
    const char *rest = real, *prefix = "";
    if (halab.upper && below(real, halab.upper)) rest = real + strlen(halab.upper);
    else {
        for (int i = 0; i < halab.rule_count; i++)
            if (below(real, halab.rules[i].source)) { prefix = halab.rules[i].target; rest = real + strlen(halab.rules[i].source); goto found; }
        for (int i = 0; i < halab.layer_count; i++)
            if (below(real, halab.layers[i])) { rest = real + strlen(halab.layers[i]); break; }
    }
found:;
    int length = snprintf(space, size, "%s%s", prefix, rest);
    if (length == 0) length = snprintf(space, size, "/");
    return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

static bool normalise(const char *from, char *to) {
    size_t length = 0;
    while (*from) {
        while (*from == '/') from++;
        size_t part = strcspn(from, "/");
        if (part == 0) break;
        if (part == 2 && from[0] == '.' && from[1] == '.') {
            while (length > 0 && to[--length] != '/') {}
        } else if (!(part == 1 && from[0] == '.')) {
            if (length + part + 2 >= PATH_MAX) return false;
            to[length++] = '/';
            memcpy(to + length, from, part);
            length += part;
        }
        from += part;
    }
    if (length == 0) to[length++] = '/';
    to[length] = 0;
    return true;
}

/* Links among the host's top directories that an image's entries are placed behind: /bin -> usr/bin, /var/run -> /run. */
static void through_host_links(char *path) {
    static const char *names[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/var/run", "/var/lock", NULL};
    char target[PATH_MAX], joined[2 * PATH_MAX];
    for (const char **name = names; *name; name++) {
        if (!below(path, *name) || link_target(*name, target, sizeof target) <= 0) continue;
        snprintf(joined, sizeof joined, "%s%s%s", target[0] == '/' ? "" : !strncmp(*name, "/var", 4) ? "/var/" : "/", target, path + strlen(*name));
        if (strlen(joined) < PATH_MAX) normalise(joined, path);
        return;
    }
}

/* The absolute path that the program means. */
static bool absolute(int directory, const char *path, char *space) {
    char base[PATH_MAX], joined[2 * PATH_MAX + 2], link[64];
    if (path[0] == '/') return normalise(path, space);
    if (directory == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0) return false;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        if (link_target(link, base, sizeof base) < 0 || base[0] != '/') return false;
    }
    char shown[PATH_MAX];
    if (!halab_virtual(base, shown, sizeof shown)) return false;
    snprintf(joined, sizeof joined, "%s/%s", shown, path);
    return strlen(joined) < PATH_MAX && normalise(joined, space);
}

static bool marked(const char *path) {
    char mark[2 * PATH_MAX];
    struct stat state;
    for (const char *slash = path; slash && *slash;) { /* a parent may be hidden as well */
        const char *name = slash + 1, *end = strchrnul(name, '/');
        snprintf(mark, sizeof mark, "%s%.*s/.wh.%.*s", halab.upper, (int)(slash - path), path, (int)(end - name), name);
        if (exists(mark, &state)) return true;
        slash = *end ? end : NULL;
    }
    return false;
}

static const struct rule *rule_of(const char *path) {
    const struct rule *best = NULL;
    for (int i = 0; i < halab.rule_count; i++)
        if (below(path, halab.rules[i].target) && (!best || strlen(halab.rules[i].target) > strlen(best->target))) best = &halab.rules[i];
    return best;
}

static bool make_parents(const char *path) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (syscall(SYS_mkdirat, AT_FDCWD, copy, 0755) < 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return true;
}

static void copy_up(const char *from, const char *to, const struct stat *state, bool content) {
    if (!make_parents(to)) return;
    if (S_ISDIR(state->st_mode)) {
        syscall(SYS_mkdirat, AT_FDCWD, to, state->st_mode | 0700);
        return;
    }
    if (S_ISLNK(state->st_mode)) {
        char target[PATH_MAX];
        if (link_target(from, target, sizeof target) > 0) syscall(SYS_symlinkat, target, AT_FDCWD, to);
        return;
    }
    if (!S_ISREG(state->st_mode)) return;
    int in = (int)syscall(SYS_openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
    int out = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (state->st_mode & 07777) | 0600);
    if (in >= 0 && out >= 0 && content)
        while (sendfile(out, in, NULL, 1 << 20) > 0) {}
    if (in >= 0) syscall(SYS_close, in);
    if (out >= 0) syscall(SYS_close, out);
}

/* Places that are every container's own: what the host has there is not shown, save what it was told to show. */
static bool hidden(const char *path) {
    static const char *own[] = {"/tmp", "/run", "/root", "/home", "/mnt", "/media", "/srv", "/opt", "/var/tmp", "/var/log", "/var/cache", "/dev/shm", NULL};
    for (int i = 0; i < halab.host_path_count; i++)
        if (below(path, halab.host_paths[i]) || below(halab.host_paths[i], path)) return false;
    for (const char **name = own; *name; name++)
        if (below(path, *name)) return true;
    return false;
}

/* Finds `path` (absolute, normal) among upper, layers and host; false if it is nowhere. */
static bool find(const char *path, char *space, struct stat *state) {
    snprintf(space, PATH_MAX, "%s%s", halab.upper, path);
    if (exists(space, state)) return true;
    if (marked(path)) return false;
    for (int i = 0; i < halab.layer_count; i++) {
        snprintf(space, PATH_MAX, "%s%s", halab.layers[i], path);
        if (exists(space, state)) return true;
    }
    snprintf(space, PATH_MAX, "%s", path);
    return !hidden(path) && exists(space, state);
}

bool halab_in_layer(const char *path) {
    for (int i = 0; i < halab.layer_count; i++)
        if (below(path, halab.layers[i])) return true;
    return false;
}

static bool untouched(const char *path) {
    if (halab_in_layer(path)) return true;
    for (int i = 0; i < halab.rule_count; i++)
        if (halab.rules[i].source[1] && below(path, halab.rules[i].source)) return true;
    return below(path, "/proc") || below(path, "/sys") || (below(path, "/dev") && !below(path, "/dev/shm")) || below(path, halab.upper);
}

const char *halab_path(int directory, const char *given, int intent, char *space) {
    if (!halab.rewrite_paths || !given || !*given) return given;
    int saved = errno;
    char path[PATH_MAX], target[PATH_MAX], joined[2 * PATH_MAX + 2];
    struct stat state;
    if (!absolute(directory, given, path)) {
        errno = saved;
        return given;
    }
    for (int links = 0; links < LINKS; links++) {
        const struct rule *rule = rule_of(path);
        if (!rule) {
            through_host_links(path);
            rule = rule_of(path);
        }
        if (rule) {
            if (rule->read_only && intent & (CHANGE | CREATE)) {
                errno = EROFS;
                return NULL;
            }
            snprintf(space, PATH_MAX, "%s%s", rule->source, path + strlen(rule->target));
            errno = saved;
            return space;
        }
        if (untouched(path)) {
            errno = saved;
            return given[0] == '/' ? strcpy(space, path) : given;
        }
        bool found = find(path, space, &state);
        if (found && S_ISLNK(state.st_mode) && intent & FOLLOW && link_target(space, target, sizeof target) > 0) {
            char *slash = strrchr(path, '/');
            snprintf(joined, sizeof joined, "%.*s/%s", target[0] == '/' ? 0 : (int)(slash - path), path, target);
            if (strlen(joined) >= PATH_MAX || !normalise(joined, path)) break;
            continue;
        }
        bool in_upper = found && below(space, halab.upper);
        if (intent & (CHANGE | CREATE) && !in_upper) {
            char lower[PATH_MAX];
            strcpy(lower, space);
            snprintf(space, PATH_MAX, "%s%s", halab.upper, path);
            if (found) copy_up(lower, space, &state, !(intent & TRUNCATE));
            else if (intent & CREATE) {
                char parent[PATH_MAX], real[PATH_MAX];
                snprintf(parent, sizeof parent, "%s", path);
                *strrchr(parent, '/') = 0;
                if (!parent[0] || find(parent, real, &state)) make_parents(space);
            }
            snprintf(target, sizeof target, "%.*s.wh.%s", (int)(strrchr(space, '/') - space) + 1, space, strrchr(path, '/') + 1);
            if (intent & CREATE) syscall(SYS_unlinkat, AT_FDCWD, target, 0);
        } else if (!found) {
            snprintf(space, PATH_MAX, "%s%s", halab.upper, path); /* absent there too, or hidden */
        }
        errno = saved;
        return space;
    }
    errno = ELOOP;
    return NULL;
}

int halab_places(int directory, const char *given, char (*places)[4096], int limit) {
    char path[PATH_MAX], first[PATH_MAX];
    struct stat state;
    int count = 0, saved = errno;
    if (!halab.rewrite_paths || !absolute(directory, given, path)) return 0;
    const char *real = halab_path(directory, given, FOLLOW, first);
    through_host_links(path);
    if (!real || rule_of(path) || untouched(path)) return 0;
    char shown[PATH_MAX];
    if (halab_virtual(real, shown, sizeof shown)) strcpy(path, shown);
    for (int i = -1; i <= halab.layer_count && count < limit; i++) {
        if (i == halab.layer_count && hidden(path)) break;
        snprintf(places[count], 4096, "%s%s", i < 0 ? halab.upper : i < halab.layer_count ? halab.layers[i] : "", path);
        if (exists(places[count], &state) && S_ISDIR(state.st_mode)) count++;
    }
    errno = saved;
    return count;
}

int halab_hide(int directory, const char *given) {
    char path[PATH_MAX], real[PATH_MAX], mark[PATH_MAX];
    struct stat state;
    if (!absolute(directory, given, path)) return 0;
    through_host_links(path);
    if (rule_of(path) || untouched(path)) return 0;
    if (!find(path, real, &state)) return 0;
    snprintf(mark, sizeof mark, "%s%.*s/.wh.%s", halab.upper, (int)(strrchr(path, '/') - path), path, strrchr(path, '/') + 1);
    if (!make_parents(mark)) return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) syscall(SYS_close, fd);
    return fd < 0 ? -1 : 0;
}
