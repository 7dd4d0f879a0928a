/* What the parts of the launcher share: the specification that the Python side hands over, and how a failure is told.
 *
 * The launcher reads NUL-terminated strings (key, then its values) from a file descriptor, so nothing needs quoting. */
#ifndef HALAB_LAUNCH_H
#define HALAB_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_LAYERS 130
#define MAX_MOUNTS 256
#define MAX_GROUPS 64
#define MAX_FILES 32

struct mount_entry {
    const char *source, *target;
    bool read_only;
};

struct file_entry {
    const char *path, *content;
};

struct spec {
    char **argv, **envp;
    int argc, envc;
    const char *cwd, *hostname, *base, *upper, *tmpfs_size, *shim;
    const char *layers[MAX_LAYERS]; /* top first */
    int layer_count;
    bool host_files; /* the layers lie over the host's /usr, /etc ... instead of being a whole root */
    struct mount_entry mounts[MAX_MOUNTS];
    int mount_count;
    struct file_entry files[MAX_FILES]; /* written beneath the upper directory: /etc/hosts ... and the shim's settings */
    int file_count;
    const char *host_paths[32]; /* shown read-only at the same path (an interpreter's own prefix) */
    int host_path_count;
    const char *cgroups[16]; /* cgroup.procs files to enter */
    int cgroup_count;
    uid_t uid;
    gid_t gid;
    gid_t groups[MAX_GROUPS];
    int group_count;
    bool user_namespace, mount_namespace, pid_namespace, monitor, no_new_privileges, read_only_root, terminal, pause, survive;
    unsigned long long capabilities; /* kept in the bounding set, where the launcher is privileged */
    pid_t join;                      /* a process whose namespaces are entered (exec), or 0 */
    pid_t share_pid;                 /* a process whose pid (and user) namespace is shared, or 0 */
    struct { int resource; unsigned long long value; } limits[16];
    int limit_count;
};

/* Writes one line "error <stage> <errno> <text>" to the status descriptor and ends the process with 127. */
void fail(const char *stage, const char *subject) __attribute__((noreturn));

/* files.c: builds the root of the container in its own mount namespace and enters it. */
void build_root(const struct spec *spec);
void make_directories(const char *path, mode_t mode);

/* process.c: identity, limits, and the program itself. */
void become(const struct spec *spec);
void run_program(const struct spec *spec) __attribute__((noreturn));

#endif
