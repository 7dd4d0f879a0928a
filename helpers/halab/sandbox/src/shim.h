/* The shim that is preloaded into every program of a container. It gives the program the pod's address on a loopback network that
 * all pods share, and, where namespaces are forbidden, the container's files and identity. Its settings are read once from
 * /.halab/settings or, without a mount namespace, from the file named by HALAB_SETTINGS. */
#ifndef HALAB_SHIM_H
#define HALAB_SHIM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct rule {
    char *target, *source;
    bool read_only;
};

struct settings {
    bool network, fake_root, rewrite_paths;
    in_addr_t address, local, dns; /* network byte order: the pod's address, its private localhost, the cluster's DNS */
    in_addr_t cluster;             /* 127.c.0.0, whose /16 holds every address of the cluster */
    unsigned shift;                /* added to ports under 1024 of the cluster's addresses */
    unsigned ndots;
    char *search, *hostname, *hosts;
    char *policy; /* the directory of the tables of who may connect where, a file for each pod's address */
    uid_t uid;
    gid_t gid, groups[64];
    int group_count;
    char *upper;
    char *layers[130];
    int layer_count;
    struct rule rules[256];
    int rule_count;
    char *host_paths[32]; /* of the host's private places, those that the container may see */
    int host_path_count;
};

extern struct settings halab;

void *halab_real(const char *name);
#define REAL(type, name) static type (*real)(); if (!real) real = (type (*)())halab_real(name)

/* policy.c: may this pod connect there? If not, the address becomes that of a socket which never answers. */
bool halab_denied(struct sockaddr_in *address, bool datagrams);

/* clock.c: the file that holds how far the clock is ahead. */
void halab_clock(const char *path);

/* owners.c: owners that are only noted. */
bool halab_owner(const char *path, int fd, bool follow, uid_t *uid, gid_t *gid);
void halab_note_owner(const char *path, int fd, bool follow, uid_t uid, gid_t gid);
bool halab_will_create(int directory, const char *place);
void halab_created(int directory, const char *place, int fd);

/* paths.c: where the container's path really is, without a mount namespace. `space` has PATH_MAX bytes. Returns `path` itself when
 * nothing is rewritten, NULL with errno set when it may not be used so (a read-only volume, a name too long). */
enum intent { FOLLOW = 1, CHANGE = 2, CREATE = 4, TRUNCATE = 8 };
const char *halab_path(int directory, const char *path, int intent, char *space);
bool halab_in_layer(const char *path);
/* The candidates for a merged listing of a directory, best first; returns how many of the PATH_MAX-sized `places` were filled. */
int halab_places(int directory, const char *path, char (*places)[4096], int limit);
/* The container's name of a real path; returns the length, 0 if it is too long. */
size_t halab_virtual(const char *real, char *space, size_t size);
/* Hides a name that a layer or the host still has. */
int halab_hide(int directory, const char *path);

#endif
