/* A container that is not really root believes to be: in a user namespace with one mapped id, or with none at all.
 *
 * A change of identity or owner that the kernel refuses is remembered or waved through, so that a stock nginx can "drop" to its user. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HALAB_PLAIN /* the library for containers with a mount namespace and real users rewrites no paths */
const char *halab_path(int directory, const char *path, int intent, char *space) { (void)directory, (void)intent, (void)space; return path; }
void halab_note_owner(const char *path, int fd, bool follow, uid_t uid, gid_t gid) { (void)path, (void)fd, (void)follow, (void)uid, (void)gid; }
#endif

uid_t getuid(void) { REAL(uid_t, "getuid"); return halab.fake_root ? halab.uid : real(); }
uid_t geteuid(void) { REAL(uid_t, "geteuid"); return halab.fake_root ? halab.uid : real(); }
gid_t getgid(void) { REAL(gid_t, "getgid"); return halab.fake_root ? halab.gid : real(); }
gid_t getegid(void) { REAL(gid_t, "getegid"); return halab.fake_root ? halab.gid : real(); }

int getresuid(uid_t *real_id, uid_t *effective, uid_t *saved) {
    REAL(int, "getresuid");
    if (!halab.fake_root) return real(real_id, effective, saved);
    *real_id = *effective = *saved = halab.uid;
    return 0;
}

int getresgid(gid_t *real_id, gid_t *effective, gid_t *saved) {
    REAL(int, "getresgid");
    if (!halab.fake_root) return real(real_id, effective, saved);
    *real_id = *effective = *saved = halab.gid;
    return 0;
}

int getgroups(int size, gid_t list[]) {
    REAL(int, "getgroups");
    if (!halab.fake_root) return real(size, list);
    if (size == 0) return halab.group_count;
    if (size < halab.group_count) {
        errno = EINVAL;
        return -1;
    }
    memcpy(list, halab.groups, sizeof(gid_t) * (size_t)halab.group_count);
    return halab.group_count;
}

static int take_uid(uid_t uid) {
    if (uid != (uid_t)-1 && halab.uid != 0 && uid != halab.uid) {
        errno = EPERM;
        return -1;
    }
    if (uid != (uid_t)-1) halab.uid = uid;
    return 0;
}

static int take_gid(gid_t gid) {
    if (gid != (gid_t)-1 && halab.uid != 0 && gid != halab.gid) {
        errno = EPERM;
        return -1;
    }
    if (gid != (gid_t)-1) halab.gid = gid;
    return 0;
}

int setuid(uid_t uid) { REAL(int, "setuid"); return halab.fake_root ? take_uid(uid) : real(uid); }
int seteuid(uid_t uid) { REAL(int, "seteuid"); return halab.fake_root ? take_uid(uid) : real(uid); }
int setgid(gid_t gid) { REAL(int, "setgid"); return halab.fake_root ? take_gid(gid) : real(gid); }
int setegid(gid_t gid) { REAL(int, "setegid"); return halab.fake_root ? take_gid(gid) : real(gid); }
int setreuid(uid_t a, uid_t b) { REAL(int, "setreuid"); return halab.fake_root ? take_uid(b) : real(a, b); }
int setregid(gid_t a, gid_t b) { REAL(int, "setregid"); return halab.fake_root ? take_gid(b) : real(a, b); }
int setresuid(uid_t a, uid_t b, uid_t c) { REAL(int, "setresuid"); return halab.fake_root ? take_uid(b) : real(a, b, c); }
int setresgid(gid_t a, gid_t b, gid_t c) { REAL(int, "setresgid"); return halab.fake_root ? take_gid(b) : real(a, b, c); }

int setgroups(size_t size, const gid_t *list) {
    REAL(int, "setgroups");
    if (!halab.fake_root) return real(size, list);
    if (halab.uid != 0 || size > 64) {
        errno = EPERM;
        return -1;
    }
    halab.group_count = (int)size;
    if (size) memcpy(halab.groups, list, sizeof(gid_t) * size);
    return 0;
}

int initgroups(const char *user, gid_t group) {
    REAL(int, "initgroups");
    if (!halab.fake_root) return real(user, group);
    return setgroups(1, &group);
}

/* An owner cannot be given away without privilege; a program that tries is told that it worked. */
static int waved(int result, const char *path, int fd, bool follow, uid_t uid, gid_t gid) {
    if (!halab.fake_root || (result < 0 && errno != EPERM && errno != EINVAL)) return result;
    halab_note_owner(path, fd, follow, uid, gid);
    return 0;
}

int fchown(int fd, uid_t uid, gid_t gid) { REAL(int, "fchown"); return waved(real(fd, uid, gid), NULL, fd, true, uid, gid); }

int chown(const char *path, uid_t uid, gid_t gid) {
    REAL(int, "chown");
    char space[PATH_MAX];
    const char *place = halab_path(AT_FDCWD, path, FOLLOW | CHANGE, space);
    return place ? waved(real(place, uid, gid), place, -1, true, uid, gid) : -1;
}

int lchown(const char *path, uid_t uid, gid_t gid) {
    REAL(int, "lchown");
    char space[PATH_MAX];
    const char *place = halab_path(AT_FDCWD, path, CHANGE, space);
    return place ? waved(real(place, uid, gid), place, -1, false, uid, gid) : -1;
}

int fchownat(int directory, const char *path, uid_t uid, gid_t gid, int flags) {
    REAL(int, "fchownat");
    char space[PATH_MAX];
    const char *place = halab_path(directory, path, CHANGE | (flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW), space);
    if (!place) return -1;
    int base = place == path ? directory : AT_FDCWD, result = real(base, place, uid, gid, flags);
    if (!halab.fake_root) return result;
    int fd = !*place && flags & AT_EMPTY_PATH ? dup(base) : openat(base, place, O_PATH | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    result = waved(result, link, -1, true, uid, gid);
    if (fd >= 0) close(fd);
    return result;
}
