/* Reads the shim's settings: lines of "key value". Uses plain system calls, since this runs before the program's own start. */
#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct settings halab;

void *halab_real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static in_addr_t address_of(const char *text) {
    struct in_addr address = {0};
    inet_pton(AF_INET, text, &address);
    return address.s_addr;
}

static void add_rule(char *value, bool read_only) {
    char *tab = strchr(value, '\t');
    if (!tab || halab.rule_count >= 256) return;
    *tab = 0;
    halab.rules[halab.rule_count++] = (struct rule){value, tab + 1, read_only};
}

static void set(char *key, char *value) {
    if (!strcmp(key, "address")) {
        halab.address = address_of(value);
        halab.cluster = halab.address & htonl(0xffff0000);
        halab.network = true;
    } else if (!strcmp(key, "local")) halab.local = address_of(value);
    else if (!strcmp(key, "dns")) halab.dns = address_of(value);
    else if (!strcmp(key, "policy")) halab.policy = value;
    else if (!strcmp(key, "clock")) halab_clock(value);
    else if (!strcmp(key, "search")) halab.search = value;
    else if (!strcmp(key, "ndots")) halab.ndots = (unsigned)atoi(value);
    else if (!strcmp(key, "shift")) halab.shift = (unsigned)atoi(value);
    else if (!strcmp(key, "hostname")) halab.hostname = value;
    else if (!strcmp(key, "hosts")) halab.hosts = value;
    else if (!strcmp(key, "fakeroot")) halab.fake_root = true;
    else if (!strcmp(key, "uid")) halab.uid = (uid_t)atol(value);
    else if (!strcmp(key, "gid")) halab.gid = (gid_t)atol(value);
    else if (!strcmp(key, "group") && halab.group_count < 64) halab.groups[halab.group_count++] = (gid_t)atol(value);
    else if (!strcmp(key, "upper")) halab.upper = value, halab.rewrite_paths = true;
    else if (!strcmp(key, "layer") && halab.layer_count < 130) halab.layers[halab.layer_count++] = value;
    else if (!strcmp(key, "hostpath") && halab.host_path_count < 32) halab.host_paths[halab.host_path_count++] = value;
    else if (!strcmp(key, "ro")) add_rule(value, true);
    else if (!strcmp(key, "rw")) add_rule(value, false);
}

__attribute__((constructor(101))) static void load(void) {
    if (halab.network || halab.upper) return;
    const char *path = getenv("HALAB_SETTINGS");
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path ? path : "/.halab/settings", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    size_t capacity = 4096, length = 0;
    char *text = malloc(capacity);
    for (ssize_t got; text && (got = syscall(SYS_read, fd, text + length, capacity - length - 1)) > 0;) {
        length += (size_t)got;
        if (length + 1 >= capacity) text = realloc(text, capacity *= 2);
    }
    syscall(SYS_close, fd);
    if (!text) return;
    text[length] = 0;
    /* The values stay in this one buffer for the life of the program. */
    for (char *line = text; *line;) {
        char *end = strchrnul(line, '\n'), *space = strchr(line, ' ');
        bool last = !*end;
        *end = 0;
        if (space) {
            *space = 0;
            set(line, space + 1);
        }
        if (last) break;
        line = end + 1;
    }
}
