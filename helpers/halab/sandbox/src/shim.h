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
    uid_t uid;
    gid_t gid, groups[64];
    int group_count;
    char *upper;
    char *layers[130];
    int layer_count;
    struct rule rules[256];
    int rule_count;
};

extern struct settings halab;

void *halab_real(const char *name);
#define REAL(type, name) static type (*real)(); if (!real) real = (type (*)())halab_real(name)

#endif
