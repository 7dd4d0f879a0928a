/* Owners that the kernel would not let a plain user give: they are noted on the files themselves ("user.halab.owner": "uid:gid"), so that
 * all containers that see a volume see the same owners. Nothing is enforced by them. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ATTRIBUTE "user.halab.owner"

bool halab_owner(const char *path, int fd, bool follow, uid_t *uid, gid_t *gid) {
    char text[48];
    int saved = errno;
    ssize_t length = fd >= 0 ? syscall(SYS_fgetxattr, fd, ATTRIBUTE, text, sizeof text - 1)
                             : syscall(follow ? SYS_getxattr : SYS_lgetxattr, path, ATTRIBUTE, text, sizeof text - 1);
    errno = saved;
    if (length <= 0) return false;
    text[length] = 0;
    char *colon = strchr(text, ':');
    if (!colon) return false;
    *uid = (uid_t)strtoul(text, NULL, 10);
    *gid = (gid_t)strtoul(colon + 1, NULL, 10);
    return true;
}

void halab_note_owner(const char *path, int fd, bool follow, uid_t uid, gid_t gid) {
    char text[48];
    int saved = errno;
    uid_t old_uid = 0;
    gid_t old_gid = 0;
    halab_owner(path, fd, follow, &old_uid, &old_gid);
    int length = snprintf(text, sizeof text, "%u:%u", uid == (uid_t)-1 ? old_uid : uid, gid == (gid_t)-1 ? old_gid : gid);
    if (fd >= 0) syscall(SYS_fsetxattr, fd, ATTRIBUTE, text, length, 0);
    else syscall(follow ? SYS_setxattr : SYS_lsetxattr, path, ATTRIBUTE, text, length, 0);
    errno = saved;
}

bool halab_will_create(int directory, const char *place) {
    struct stat state;
    int saved = errno;
    if (!halab.fake_root || (!halab.uid && !halab.gid)) return false;
    bool absent = syscall(SYS_newfstatat, directory, place, &state, AT_SYMLINK_NOFOLLOW) < 0;
    errno = saved;
    return absent;
}

/* A new file belongs to its maker, and to the group of a directory that hands its group down (fsGroup). */
void halab_created(int directory, const char *place, int fd) {
    char parent[PATH_MAX];
    struct stat state;
    int saved = errno;
    uid_t unused = 0;
    gid_t gid = halab.gid, inherited = 0;
    snprintf(parent, sizeof parent, "%s", place);
    char *slash = strrchr(parent, '/');
    if (slash) slash[slash == parent] = 0;
    else strcpy(parent, ".");
    int above = (int)syscall(SYS_openat, directory, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0) {
        if (syscall(SYS_fstat, above, &state) == 0 && state.st_mode & S_ISGID && halab_owner(NULL, above, true, &unused, &inherited)) gid = inherited;
        syscall(SYS_close, above);
    }
    if (fd >= 0) halab_note_owner(NULL, fd, true, halab.uid, gid);
    else {
        int made = (int)syscall(SYS_openat, directory, place, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (made >= 0) {
            halab_note_owner(NULL, made, true, halab.uid, gid);
            syscall(SYS_close, made);
        }
    }
    errno = saved;
}
