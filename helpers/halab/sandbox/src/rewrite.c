/* The calls that take a path, each given the place where the path really is. Without path rewriting they only mend owners in stat. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>
#include <utime.h>

#define NOBODY 65534
#define PLACE(directory, path, intent)                                      \
    char space[PATH_MAX];                                                   \
    const char *place = halab_path(directory, path, intent, space);         \
    if (!place && path) return -1;                                          \
    int base = place == path ? directory : AT_FDCWD;                        \
    (void)base

/* Seen from inside a user namespace the host's own files belong to nobody; without one, root's belong to root and ours to a plain user. */
static void mend(const char *path, int fd, bool follow, uid_t *uid, gid_t *gid) {
    if (!halab.fake_root) return;
    static uid_t own = (uid_t)-1;
    if (own == (uid_t)-1) own = (uid_t)syscall(SYS_getuid);
    if (*uid == NOBODY || *uid == own) *uid = 0;
    if (*gid == NOBODY || *gid == (gid_t)syscall(SYS_getgid)) *gid = 0;
    if (*uid == 0) halab_owner(path, fd, follow, uid, gid);
}

/* The same for a path below a directory; an empty one with AT_EMPTY_PATH is the descriptor itself. */
static void mend_at(int base, const char *place, int flags, uid_t *uid, gid_t *gid) {
    bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
    if (place && place[0] == '/') mend(place, -1, follow, uid, gid);
    else if (base == AT_FDCWD && place && *place) mend(place, -1, follow, uid, gid);
    else if ((!place || !*place) && base >= 0) mend(NULL, base, true, uid, gid);
    else {
        char link[PATH_MAX + 64];
        snprintf(link, sizeof link, "/proc/self/fd/%d/%s", base, place);
        mend(link, -1, follow, uid, gid);
    }
}

static int purpose(int flags) {
    int intent = flags & O_NOFOLLOW ? 0 : FOLLOW;
    if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) intent |= CHANGE;
    if (flags & O_CREAT) intent |= CREATE;
    if (flags & O_TRUNC) intent |= TRUNCATE;
    return intent;
}

static mode_t mode_of(int flags, va_list list) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                            \
        REAL(int, #name);                                                   \
        va_list list;                                                       \
        va_start(list, flags);                                              \
        mode_t mode = mode_of(flags, list);                                 \
        va_end(list);                                                       \
        PLACE(AT_FDCWD, path, purpose(flags));                              \
        bool fresh = flags & O_CREAT && halab_will_create(base, place);     \
        int fd = real(place, flags, mode);                                  \
        if (fresh && fd >= 0) halab_created(base, place, fd);               \
        return fd;                                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                        \
    int name(int directory, const char *path, int flags, ...) {             \
        REAL(int, #name);                                                   \
        va_list list;                                                       \
        va_start(list, flags);                                              \
        mode_t mode = mode_of(flags, list);                                 \
        va_end(list);                                                       \
        PLACE(directory, path, purpose(flags));                             \
        bool fresh = flags & O_CREAT && halab_will_create(base, place);     \
        int fd = real(base, place, flags, mode);                            \
        if (fresh && fd >= 0) halab_created(base, place, fd);               \
        return fd;                                                          \
    }
OPENAT(openat)
OPENAT(openat64)

/* What programs compiled with _FORTIFY_SOURCE call instead. */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }
int __openat_2(int directory, const char *path, int flags) { return openat(directory, path, flags); }
int __openat64_2(int directory, const char *path, int flags) { return openat64(directory, path, flags); }

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

#define FOPEN(name)                                                                                                   \
    FILE *name(const char *restrict path, const char *restrict mode) {                                                \
        static FILE *(*real)(const char *, const char *);                                                             \
        if (!real) real = (FILE * (*)(const char *, const char *)) halab_real(#name);                                 \
        char space[PATH_MAX];                                                                                         \
        int intent = FOLLOW | (mode[0] == 'r' ? 0 : CHANGE | CREATE) | (strchr(mode, '+') ? CHANGE : 0) | (mode[0] == 'w' ? TRUNCATE : 0); \
        const char *place = halab_path(AT_FDCWD, path, intent, space);                                                \
        if (!place) return NULL;                                                                                      \
        bool fresh = mode[0] != 'r' && halab_will_create(AT_FDCWD, place);                                            \
        FILE *file = real(place, mode);                                                                               \
        if (fresh && file) halab_created(AT_FDCWD, place, fileno(file));                                              \
        return file;                                                                                                  \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define STAT(name, type, intent)                                            \
    int name(const char *restrict path, struct type *restrict state) {      \
        REAL(int, #name);                                                   \
        PLACE(AT_FDCWD, path, intent);                                      \
        int result = real(place, state);                                    \
        if (result == 0) mend(place, -1, intent, &state->st_uid, &state->st_gid); \
        return result;                                                      \
    }
STAT(stat, stat, FOLLOW)
STAT(stat64, stat64, FOLLOW)
STAT(lstat, stat, 0)
STAT(lstat64, stat64, 0)

#define FSTAT(name, type)                                                   \
    int name(int fd, struct type *state) {                                  \
        REAL(int, #name);                                                   \
        int result = real(fd, state);                                       \
        if (result == 0) mend(NULL, fd, true, &state->st_uid, &state->st_gid); \
        return result;                                                      \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

#define FSTATAT(name, type)                                                                             \
    int name(int directory, const char *restrict path, struct type *restrict state, int flags) {        \
        REAL(int, #name);                                                                               \
        PLACE(directory, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW);                               \
        int result = real(base, place, state, flags);                                                   \
        if (result == 0) mend_at(base, place, flags, &state->st_uid, &state->st_gid);                   \
        return result;                                                                                  \
    }
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict state) {
    REAL(int, "statx");
    PLACE(directory, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW);
    int result = real(base, place, flags, mask, state);
    if (result == 0) mend_at(base, place, flags, &state->stx_uid, &state->stx_gid);
    return result;
}

int access(const char *path, int mode) { REAL(int, "access"); PLACE(AT_FDCWD, path, FOLLOW | (mode & W_OK ? CHANGE : 0)); return real(place, mode); }
int eaccess(const char *path, int mode) { return access(path, mode); }
int euidaccess(const char *path, int mode) { return access(path, mode); }
int faccessat(int directory, const char *path, int mode, int flags) {
    REAL(int, "faccessat");
    PLACE(directory, path, FOLLOW | (mode & W_OK ? CHANGE : 0));
    return real(base, place, mode, flags);
}

ssize_t readlink(const char *restrict path, char *restrict buffer, size_t size) {
    REAL(ssize_t, "readlink");
    PLACE(AT_FDCWD, path, 0);
    return real(place, buffer, size);
}

ssize_t readlinkat(int directory, const char *restrict path, char *restrict buffer, size_t size) {
    REAL(ssize_t, "readlinkat");
    PLACE(directory, path, 0);
    return real(base, place, buffer, size);
}

char *realpath(const char *restrict path, char *restrict resolved) {
    static char *(*real)(const char *, char *);
    if (!real) real = (char *(*)(const char *, char *))halab_real("realpath");
    if (!halab.rewrite_paths) return real(path, resolved);
    char space[PATH_MAX], found[PATH_MAX];
    const char *place = halab_path(AT_FDCWD, path, FOLLOW, space);
    if (!place || !real(place, found)) return NULL;
    if (!resolved && !(resolved = malloc(PATH_MAX))) return NULL;
    return halab_virtual(found, resolved, PATH_MAX) ? resolved : NULL;
}

char *__realpath_chk(const char *path, char *resolved, size_t size) { (void)size; return realpath(path, resolved); }
ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room) { (void)room; return readlink(path, buffer, size); }
ssize_t __readlinkat_chk(int directory, const char *path, char *buffer, size_t size, size_t room) { (void)room; return readlinkat(directory, path, buffer, size); }
char *canonicalize_file_name(const char *path) { return realpath(path, NULL); }

int mkdirat(int directory, const char *path, mode_t mode) {
    REAL(int, "mkdirat");
    PLACE(directory, path, CREATE);
    int result = real(base, place, mode);
    if (result == 0 && halab.fake_root && (halab.uid || halab.gid)) halab_created(base, place, -1);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int chmod(const char *path, mode_t mode) { REAL(int, "chmod"); PLACE(AT_FDCWD, path, FOLLOW | CHANGE); return real(place, mode); }
int fchmodat(int directory, const char *path, mode_t mode, int flags) {
    REAL(int, "fchmodat");
    PLACE(directory, path, FOLLOW | CHANGE);
    return real(base, place, mode, flags);
}
int truncate(const char *path, off_t size) { REAL(int, "truncate"); PLACE(AT_FDCWD, path, FOLLOW | CHANGE); return real(place, size); }
int utime(const char *path, const struct utimbuf *times) { REAL(int, "utime"); PLACE(AT_FDCWD, path, FOLLOW | CHANGE); return real(place, times); }
int utimes(const char *path, const struct timeval times[2]) { REAL(int, "utimes"); PLACE(AT_FDCWD, path, FOLLOW | CHANGE); return real(place, times); }
int utimensat(int directory, const char *path, const struct timespec times[2], int flags) {
    REAL(int, "utimensat");
    PLACE(directory, path, CHANGE | (flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW));
    return real(base, place, times, flags);
}
int mkfifo(const char *path, mode_t mode) { REAL(int, "mkfifo"); PLACE(AT_FDCWD, path, CREATE); return real(place, mode); }

/* Removal: the file itself where it is ours, and a mark where a layer or the host still has the name. */
static int removed(int directory, const char *path, int result) {
    int saved = errno;
    if (!halab.rewrite_paths) return result;
    if (result < 0 && saved != ENOENT) {
        errno = saved;
        return result;
    }
    if (halab_hide(directory, path) < 0) return -1;
    errno = saved;
    return result;
}

static bool lies_in_upper(const char *place) { return !halab.rewrite_paths || !strncmp(place, halab.upper, strlen(halab.upper)); }

static bool on_host(const char *place) {
    for (int i = 0; i < halab.rule_count; i++)
        if (!strncmp(place, halab.rules[i].source, strlen(halab.rules[i].source))) return false;
    return !lies_in_upper(place);
}

int unlinkat(int directory, const char *path, int flags) {
    REAL(int, "unlinkat");
    char space[PATH_MAX];
    const char *place = halab_path(directory, path, 0, space);
    if (halab.rewrite_paths && place && on_host(place) && place != path) return removed(directory, path, 0);
    if (halab.rewrite_paths && !halab_path(directory, path, CREATE, space)) return -1;
    return removed(directory, path, real(place == path ? directory : AT_FDCWD, place, flags));
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat state;
    if (lstat(path, &state) < 0) return -1;
    return S_ISDIR(state.st_mode) ? rmdir(path) : unlink(path);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    static int (*real)();
    if (!real) real = (int (*)())halab_real("renameat2");
    char from_space[PATH_MAX], to_space[PATH_MAX];
    const char *old = halab_path(from_directory, from, CHANGE, from_space), *new = old ? halab_path(to_directory, to, CREATE, to_space) : NULL;
    if (!old || !new) return -1;
    int result = real(old == from ? from_directory : AT_FDCWD, old, new == to ? to_directory : AT_FDCWD, new, flags);
    return result < 0 ? result : removed(from_directory, from, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    REAL(int, "linkat");
    char from_space[PATH_MAX], to_space[PATH_MAX];
    const char *old = halab_path(from_directory, from, CHANGE, from_space), *new = old ? halab_path(to_directory, to, CREATE, to_space) : NULL;
    return old && new ? real(old == from ? from_directory : AT_FDCWD, old, new == to ? to_directory : AT_FDCWD, new, flags) : -1;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int symlink(const char *target, const char *path) { REAL(int, "symlink"); PLACE(AT_FDCWD, path, CREATE); return real(target, place); }
int symlinkat(const char *target, int directory, const char *path) { REAL(int, "symlinkat"); PLACE(directory, path, CREATE); return real(target, base, place); }

/* Into the container's own copy of a layer's directory: a static program's relative paths are not rewritten, and layers are shared. */
int chdir(const char *path) {
    REAL(int, "chdir");
    PLACE(AT_FDCWD, path, FOLLOW);
    char copy[PATH_MAX];
    const char *own = place && halab_in_layer(place) ? halab_path(AT_FDCWD, path, FOLLOW | CHANGE, copy) : NULL;
    return real(own ? own : place);
}

char *getcwd(char *buffer, size_t size) {
    static char *(*real)(char *, size_t);
    if (!real) real = (char *(*)(char *, size_t))halab_real("getcwd");
    if (!halab.rewrite_paths) return real(buffer, size);
    char found[PATH_MAX], shown[PATH_MAX];
    if (!real(found, sizeof found) || !halab_virtual(found, shown, sizeof shown)) return NULL;
    size_t needed = strlen(shown) + 1;
    if (buffer && size < needed) {
        errno = ERANGE;
        return NULL;
    }
    if (!buffer && !(buffer = malloc(size > needed ? size : needed))) return NULL;
    return strcpy(buffer, shown);
}

char *__getcwd_chk(char *buffer, size_t size, size_t room) { (void)room; return getcwd(buffer, size); }

#define TEMPORARY(name, type, after)                                                \
    type name(char *template) {                                                     \
        static type (*real)(char *);                                                \
        if (!real) real = (type (*)(char *))halab_real(#name);                      \
        if (!halab.rewrite_paths) return real(template);                            \
        char space[PATH_MAX];                                                       \
        const char *place = halab_path(AT_FDCWD, template, CREATE, space);          \
        if (!place || place != space) return real(template);                        \
        type result = real(space);                                                  \
        size_t length = strlen(template);                                           \
        memcpy(template + length - 6, space + strlen(space) - 6, 6);                \
        after;                                                                      \
    }
TEMPORARY(mkstemp, int, return result)
TEMPORARY(mkstemp64, int, return result)
TEMPORARY(mkdtemp, char *, return result ? template : NULL)

#define OPEN_TEMPORARY(name)                                                        \
    int name(char *template, int flags) {                                           \
        REAL(int, #name);                                                           \
        if (!halab.rewrite_paths) return real(template, flags);                     \
        char space[PATH_MAX];                                                       \
        const char *place = halab_path(AT_FDCWD, template, CREATE, space);          \
        if (!place || place != space) return real(template, flags);                 \
        int result = real(space, flags);                                            \
        memcpy(template + strlen(template) - 6, space + strlen(space) - 6, 6);      \
        return result;                                                              \
    }
OPEN_TEMPORARY(mkostemp)
OPEN_TEMPORARY(mkostemp64)

#define GET_ATTRIBUTE(name, intent)                                                                     \
    ssize_t name(const char *path, const char *attribute, void *value, size_t size) {                   \
        REAL(ssize_t, #name);                                                                           \
        PLACE(AT_FDCWD, path, intent);                                                                  \
        return real(place, attribute, value, size);                                                     \
    }
GET_ATTRIBUTE(getxattr, FOLLOW)
GET_ATTRIBUTE(lgetxattr, 0)

#define LIST_ATTRIBUTES(name, intent)                                                                   \
    ssize_t name(const char *path, char *list, size_t size) {                                           \
        REAL(ssize_t, #name);                                                                           \
        PLACE(AT_FDCWD, path, intent);                                                                  \
        return real(place, list, size);                                                                 \
    }
LIST_ATTRIBUTES(listxattr, FOLLOW)
LIST_ATTRIBUTES(llistxattr, 0)

#define SET_ATTRIBUTE(name, intent)                                                                     \
    int name(const char *path, const char *attribute, const void *value, size_t size, int flags) {      \
        REAL(int, #name);                                                                               \
        PLACE(AT_FDCWD, path, intent);                                                                  \
        return real(place, attribute, value, size, flags);                                              \
    }
SET_ATTRIBUTE(setxattr, FOLLOW | CHANGE)
SET_ATTRIBUTE(lsetxattr, CHANGE)
