/* Directories as one listing of upper, layers and host; accounts from the container's own /etc/passwd. Only without a mount namespace. */
#define _GNU_SOURCE
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_MAXIMUM 64
#define PLACES 32

/* A listing under way: the stream that the program holds, those that follow it, and the names that were given out. */
struct merged {
    DIR *first;
    DIR *rest[PLACES];
    int count, at;
    char **seen;
    size_t seen_count, seen_size;
};

static struct merged listings[OPEN_MAXIMUM];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static DIR *real_opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real) real = (DIR * (*)(const char *)) halab_real("opendir");
    return real(path);
}

static DIR *merge(DIR *first, char (*places)[4096], int count) {
    if (!first || count < 2) return first;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < OPEN_MAXIMUM; i++) {
        if (listings[i].first) continue;
        memset(&listings[i], 0, sizeof listings[i]);
        listings[i].first = first;
        for (int j = 1; j < count; j++) {
            DIR *next = real_opendir(places[j]);
            if (next) listings[i].rest[listings[i].count++] = next;
        }
        break;
    }
    pthread_mutex_unlock(&lock);
    return first;
}

DIR *opendir(const char *path) {
    if (!halab.rewrite_paths) return real_opendir(path);
    char places[PLACES][4096], space[PATH_MAX];
    int count = halab_places(AT_FDCWD, path, places, PLACES);
    const char *place = count ? places[0] : halab_path(AT_FDCWD, path, FOLLOW, space);
    return place ? merge(real_opendir(place), places, count) : NULL;
}

DIR *fdopendir(int fd) {
    static DIR *(*real)(int);
    if (!real) real = (DIR * (*)(int)) halab_real("fdopendir");
    if (!halab.rewrite_paths) return real(fd);
    char link[64], found[PATH_MAX], shown[PATH_MAX], places[PLACES][4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, found, sizeof found - 1);
    if (length <= 0) return real(fd);
    found[length] = 0;
    int count = halab_virtual(found, shown, sizeof shown) ? halab_places(AT_FDCWD, shown, places, PLACES) : 0;
    return merge(real(fd), places, count && !strcmp(places[0], found) ? count : 0);
}

static struct merged *listing_of(DIR *stream) {
    for (int i = 0; i < OPEN_MAXIMUM; i++)
        if (listings[i].first == stream) return &listings[i];
    return NULL;
}

/* Takes note of a name; false if it was there, or is a mark (whose name is then taken as given out). */
static bool fresh(struct merged *listing, const char *name) {
    bool mark = !strncmp(name, ".wh.", 4);
    if (mark) name += 4;
    for (size_t i = 0; i < listing->seen_count; i++)
        if (!strcmp(listing->seen[i], name)) return false;
    if (listing->seen_count == listing->seen_size) {
        listing->seen_size = listing->seen_size ? listing->seen_size * 2 : 64;
        listing->seen = realloc(listing->seen, listing->seen_size * sizeof *listing->seen);
    }
    if (listing->seen) listing->seen[listing->seen_count++] = strdup(name);
    return !mark;
}

#define READDIR(name, type)                                                                 \
    struct type *name(DIR *stream) {                                                        \
        static struct type *(*real)(DIR *);                                                 \
        if (!real) real = (struct type * (*)(DIR *)) halab_real(#name);                     \
        struct merged *listing = halab.rewrite_paths ? listing_of(stream) : NULL;           \
        if (!listing) return real(stream);                                                  \
        for (;;) {                                                                          \
            DIR *current = listing->at ? listing->rest[listing->at - 1] : stream;           \
            struct type *entry = real(current);                                             \
            if (entry && fresh(listing, entry->d_name)) return entry;                       \
            if (!entry && listing->at++ >= listing->count) return NULL;                     \
        }                                                                                   \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

int closedir(DIR *stream) {
    REAL(int, "closedir");
    struct merged *listing = halab.rewrite_paths ? listing_of(stream) : NULL;
    if (listing) {
        for (int i = 0; i < listing->count; i++) real(listing->rest[i]);
        for (size_t i = 0; i < listing->seen_count; i++) free(listing->seen[i]);
        free(listing->seen);
        listing->first = NULL;
    }
    return real(stream);
}

/* glob can be told which functions to use; the library's own would see the host's directories. */
#define GLOB(name, type, read, status, lstatus)                                                                     \
    int name(const char *restrict pattern, int flags, int (*failed)(const char *, int), type *restrict found) {     \
        REAL(int, #name);                                                                                           \
        if (!halab.rewrite_paths || flags & GLOB_ALTDIRFUNC) return real(pattern, flags, failed, found);            \
        found->gl_opendir = (void *(*)(const char *))opendir;                                                       \
        found->gl_readdir = (void *)read;                                                                           \
        found->gl_closedir = (void (*)(void *))closedir;                                                            \
        found->gl_stat = (void *)status;                                                                            \
        found->gl_lstat = (void *)lstatus;                                                                          \
        return real(pattern, flags | GLOB_ALTDIRFUNC, failed, found);                                               \
    }
GLOB(glob, glob_t, readdir, stat, lstat)
GLOB(glob64, glob64_t, readdir64, stat64, lstat64)

#define SCANDIR(name, type, read)                                                                                   \
    int name(const char *restrict path, struct type ***restrict list, int (*chosen)(const struct type *),           \
             int (*order)(const struct type **, const struct type **)) {                                            \
        REAL(int, #name);                                                                                           \
        if (!halab.rewrite_paths) return real(path, list, chosen, order);                                           \
        DIR *stream = opendir(path);                                                                                \
        if (!stream) return -1;                                                                                     \
        struct type **entries = NULL, *entry;                                                                       \
        int count = 0, size = 0;                                                                                    \
        while ((entry = read(stream))) {                                                                            \
            if (chosen && !chosen(entry)) continue;                                                                 \
            if (count == size) entries = realloc(entries, (size_t)(size = size ? size * 2 : 32) * sizeof *entries);  \
            entries[count] = malloc(entry->d_reclen);                                                               \
            memcpy(entries[count++], entry, entry->d_reclen);                                                       \
        }                                                                                                           \
        closedir(stream);                                                                                           \
        if (order && count) qsort(entries, (size_t)count, sizeof *entries, (int (*)(const void *, const void *))order); \
        *list = entries;                                                                                            \
        return count;                                                                                               \
    }
SCANDIR(scandir, dirent, readdir)
SCANDIR(scandir64, dirent64, readdir64)

/* Accounts: the C library reads the host's files with calls of its own, so the container's are read here. */
#define ACCOUNT(name, type, file, next, parameter, matches)                                 \
    struct type *name(parameter) {                                                          \
        static struct type *(*real)(parameter);                                             \
        if (!real) real = (struct type * (*)(parameter)) halab_real(#name);                 \
        char space[PATH_MAX];                                                               \
        const char *place = halab.rewrite_paths ? halab_path(AT_FDCWD, file, FOLLOW, space) : NULL; \
        FILE *accounts = place ? fopen(place, "re") : NULL;                                 \
        if (accounts) {                                                                     \
            struct type *entry;                                                             \
            while ((entry = next(accounts)) && !(matches)) {}                               \
            fclose(accounts);                                                               \
            if (entry) return entry;                                                        \
        }                                                                                   \
        return real(key);                                                                   \
    }
ACCOUNT(getpwnam, passwd, "/etc/passwd", fgetpwent, const char *key, !strcmp(entry->pw_name, key))
ACCOUNT(getpwuid, passwd, "/etc/passwd", fgetpwent, uid_t key, entry->pw_uid == key)
ACCOUNT(getgrnam, group, "/etc/group", fgetgrent, const char *key, !strcmp(entry->gr_name, key))
ACCOUNT(getgrgid, group, "/etc/group", fgetgrent, gid_t key, entry->gr_gid == key)
