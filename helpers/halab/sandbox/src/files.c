/* The container's files: image layers over the host's /usr and /etc (or a whole root of their own), devices, proc, volumes.
 *
 * Everything is built on one tmpfs mounted at `base`, so it vanishes with the mount namespace. The host's root cannot itself be
 * an overlay's lower directory (the layers lie inside it, and overlayfs refuses overlapping trees), so /usr, /etc ... are laid one by one. */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *HOST_NAMES[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", NULL};
static const char *OWN_DIRECTORIES[] = {"proc", "sys", "dev", "run", "root", "home", "mnt", "media", "srv", "opt", "usr", "etc", "var", "var/log", "var/lib",
                                        "var/cache", "var/spool", "var/www", "run/lock", ".halab", NULL};
#define OLD_ROOT ".halab/old" /* where the host's root hangs until the volumes are mounted */

static const char *DEVICES[] = {"null", "zero", "full", "random", "urandom", "tty", NULL};

void make_directories(const char *path, mode_t mode) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(copy, 0755) < 0 && errno != EEXIST && errno != EROFS) fail("mkdir", copy);
        *slash = '/';
    }
    if (mkdir(copy, mode) < 0 && errno != EEXIST) fail("mkdir", copy);
}

static void make_file(const char *path) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    char *slash = strrchr(copy, '/');
    if (slash && slash != copy) {
        *slash = 0;
        make_directories(copy, 0755);
    }
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0) close(fd);
    else if (errno != EISDIR) fail("create", path);
}

static bool is_directory(const char *path) {
    struct stat state;
    return lstat(path, &state) == 0 && S_ISDIR(state.st_mode);
}

/* A bind mount may only gain flags: an unprivileged remount that would drop nosuid, nodev ... is refused, so they are read first. */
static void make_read_only(const char *path) {
    struct statvfs state;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
    if (statvfs(path, &state) == 0) {
        if (state.f_flag & ST_NOSUID) flags |= MS_NOSUID;
        if (state.f_flag & ST_NODEV) flags |= MS_NODEV;
        if (state.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
        if (state.f_flag & ST_NOATIME) flags |= MS_NOATIME;
        if (state.f_flag & ST_NODIRATIME) flags |= MS_NODIRATIME;
        if (state.f_flag & ST_RELATIME) flags |= MS_RELATIME;
    }
    if (mount(NULL, path, NULL, flags, NULL) < 0) fail("mount read-only", path);
}

static void bind(const char *source, const char *target, bool read_only) {
    struct stat state;
    if (stat(source, &state) < 0) fail("mount", source);
    if (S_ISDIR(state.st_mode)) make_directories(target, 0755);
    else make_file(target);
    if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0) fail("mount", source);
    if (read_only) make_read_only(target);
}

/* Lower directories are named through short links, so neither their number nor their characters (':' ',') can break the option string. */
static void overlay(const char *name, const char **lowers, int count, const char *upper_root, const char *target, bool user_xattr) {
    char options[PATH_MAX], path[PATH_MAX], upper[PATH_MAX], work[PATH_MAX];
    size_t used = (size_t)snprintf(options, sizeof options, "lowerdir=");
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "l/%s%d", name, i);
        if (symlink(lowers[i], path) < 0) fail("link", path);
        used += (size_t)snprintf(options + used, sizeof options - used, "%s%s", i ? ":" : "", path);
        if (used >= sizeof options - 64) { errno = E2BIG; fail("overlay", "too many layers"); }
    }
    snprintf(upper, sizeof upper, "%s/%s", upper_root, name);
    snprintf(work, sizeof work, "%s/.work-%s", upper_root, name);
    make_directories(upper, 0755);
    make_directories(work, 0755);
    snprintf(path, sizeof path, "l/%su", name);
    if (symlink(upper, path) < 0) fail("link", path);
    snprintf(path, sizeof path, "l/%sw", name);
    if (symlink(work, path) < 0) fail("link", path);
    used += (size_t)snprintf(options + used, sizeof options - used, ",upperdir=l/%su,workdir=l/%sw%s", name, name, user_xattr ? ",userxattr" : "");
    snprintf(options + used, sizeof options - used, ",volatile");
    if (mount("overlay", target, "overlay", 0, options) == 0) return;
    options[used] = 0; /* a kernel without "volatile", or an upper directory that was used before */
    if (mount("overlay", target, "overlay", 0, options) < 0) fail("overlay", target);
}

static void write_file(const char *root, const struct file_entry *entry) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, entry->path);
    make_file(path);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    size_t length = strlen(entry->content);
    if (fd < 0 || write(fd, entry->content, length) != (ssize_t)length) fail("write", path);
    close(fd);
}

static void skeleton(void) {
    char path[PATH_MAX], target[PATH_MAX];
    for (const char **name = OWN_DIRECTORIES; *name; name++) {
        snprintf(path, sizeof path, "skel/%s", *name);
        mkdir(path, !strcmp(*name, "root") ? 0700 : 0755);
    }
    mkdir("skel/tmp", 01777);
    chmod("skel/tmp", 01777);
    mkdir("skel/var/tmp", 01777);
    chmod("skel/var/tmp", 01777);
    if (symlink("/run", "skel/var/run") < 0 && errno != EEXIST) fail("link", "skel/var/run");
    for (const char **name = HOST_NAMES; *name; name++) {
        snprintf(path, sizeof path, "/%s", *name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0) {
            target[length] = 0;
            snprintf(path, sizeof path, "skel/%s", *name);
            if (symlink(target, path) < 0) fail("link", path);
        }
    }
}

/* /usr, /etc ...: the layers' directories of that name over the host's. */
static void lay_over_host(const struct spec *spec, const char *name, const char *upper_root) {
    static char paths[MAX_LAYERS + 2][PATH_MAX];
    const char *lowers[MAX_LAYERS + 2];
    char host[PATH_MAX], real[PATH_MAX], target[PATH_MAX];
    int count = 0;
    snprintf(host, sizeof host, "/%s", name);
    struct stat state;
    if (lstat(host, &state) < 0) return;
    bool link = S_ISLNK(state.st_mode);
    if (!realpath(host, real)) return;
    if (!strcmp(name, "etc")) lowers[count++] = "../rt/etc";
    for (int i = 0; i < spec->layer_count; i++) {
        snprintf(paths[count], PATH_MAX, "%s/%s", spec->layers[i], name);
        if (is_directory(paths[count])) { lowers[count] = paths[count]; count++; }
    }
    if (link && count == 0) return; /* /bin -> usr/bin, and no layer has a real /bin */
    lowers[count++] = real;
    snprintf(target, sizeof target, "root/%s", name);
    overlay(name, lowers, count, upper_root, target, spec->user_namespace);
}

static void devices(void) {
    char source[64], target[64];
    if (mount("tmpfs", "root/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k") < 0) fail("mount", "/dev");
    for (const char **name = DEVICES; *name; name++) {
        snprintf(source, sizeof source, "/dev/%s", *name);
        snprintf(target, sizeof target, "root/dev/%s", *name);
        if (access(source, F_OK) == 0) bind(source, target, false);
    }
    mkdir("root/dev/pts", 0755);
    mkdir("root/dev/shm", 01777);
    chmod("root/dev/shm", 01777);
    if (mount("devpts", "root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") < 0) fail("mount", "/dev/pts");
    if (symlink("pts/ptmx", "root/dev/ptmx") || symlink("/proc/self/fd", "root/dev/fd") || symlink("/proc/self/fd/0", "root/dev/stdin") ||
        symlink("/proc/self/fd/1", "root/dev/stdout") || symlink("/proc/self/fd/2", "root/dev/stderr"))
        fail("link", "/dev");
}

void build_root(const struct spec *spec) {
    char options[128], path[PATH_MAX];
    static char root_lowers[2][PATH_MAX];
    const char *lowers[MAX_LAYERS + 3];
    int count = 0;
    umask(022);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("mount", "private /");
    snprintf(options, sizeof options, "mode=755%s%s", spec->tmpfs_size ? ",size=" : "", spec->tmpfs_size ? spec->tmpfs_size : "");
    /* A recursive bind of a volume below base would see this tmpfs only in this namespace. */
    if (mount("tmpfs", spec->base, "tmpfs", 0, options) < 0) fail("mount", spec->base);
    if (chdir(spec->base) < 0) fail("chdir", spec->base);
    if (mkdir("root", 0755) || mkdir("l", 0755) || mkdir("skel", 0755) || mkdir("rt", 0755) || mkdir("rt/etc", 0755) || mkdir("rt/.halab", 0755) ||
        mkdir("rt/.halab/old", 0755) || mkdir("up", 0755))
        fail("mkdir", spec->base);
    skeleton();
    for (int i = 0; i < spec->file_count; i++) write_file("rt", &spec->files[i]);
    snprintf(path, sizeof path, "%s/up", spec->base);
    const char *upper = spec->upper ? spec->upper : path;
    snprintf(root_lowers[0], PATH_MAX, "../rt");
    snprintf(root_lowers[1], PATH_MAX, "../skel");
    lowers[count++] = root_lowers[0];
    for (int i = 0; i < spec->layer_count; i++) lowers[count++] = spec->layers[i];
    if (spec->host_files) lowers[count++] = root_lowers[1];
    else {
        mkdir("rt/proc", 0755), mkdir("rt/sys", 0755), mkdir("rt/dev", 0755);
        mkdir("rt/tmp", 01777), chmod("rt/tmp", 01777);
        if (count == 1) lowers[count++] = "../l";
    }
    overlay("root", lowers, count, upper, "root", spec->user_namespace);
    if (spec->host_files)
        for (const char **name = HOST_NAMES; *name; name++) lay_over_host(spec, *name, upper);
    if (spec->shim) bind(spec->shim, "root/.halab/libhalab.so", false);
    if (mount("proc", "root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && mount("/proc", "root/proc", NULL, MS_BIND | MS_REC, NULL) < 0)
        fail("mount", "/proc");
    if (mount("/sys", "root/sys", NULL, MS_BIND | MS_REC, NULL) < 0) fail("mount", "/sys");
    devices();
    if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0) fail("sethostname", spec->hostname);
    if (chdir("root") < 0 || syscall(SYS_pivot_root, ".", OLD_ROOT) < 0 || chdir("/") < 0) fail("pivot_root", spec->base);
    /* From inside: a link such as /var/run -> /run must lead to the container's own /run, never to the host's. */
    for (int i = 0; i < spec->host_path_count; i++) {
        snprintf(path, sizeof path, "/" OLD_ROOT "%s", spec->host_paths[i]);
        bind(path, spec->host_paths[i], true);
    }
    for (int i = 0; i < spec->mount_count; i++) {
        snprintf(path, sizeof path, "/" OLD_ROOT "%s", spec->mounts[i].source);
        bind(path, spec->mounts[i].target, spec->mounts[i].read_only);
    }
    if (umount2("/" OLD_ROOT, MNT_DETACH) < 0) fail("umount", OLD_ROOT);
    if (spec->cwd && access(spec->cwd, F_OK) < 0) make_directories(spec->cwd, 0755);
    if (spec->read_only_root) {
        make_read_only("/");
        for (const char **name = HOST_NAMES; *name; name++) {
            snprintf(path, sizeof path, "/%s", *name);
            if (spec->host_files && is_directory(path)) make_read_only(path);
        }
    }
}
