/* NetworkPolicy, kept at the client's side: where may this pod connect to?
 *
 * A table of the pod's own, written by the data plane, lists what is denied and what is allowed, a line each:
 *
 *     nowhere 127.1.0.2 6402
 *     allow 127.1.2.7/32 tcp 80 80
 *     deny 127.1.2.7/32 any 0 65535
 *
 * The first line that fits decides; where none does, or there is no table, the connection is allowed. What is denied is sent nowhere: to a
 * socket that never answers, so that the program waits in vain, as for packets that a network drops. The table is read at each new
 * connection; those that stand go on. */
#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *table(void) {
    char path[4096], own[INET_ADDRSTRLEN];
    struct in_addr address = {halab.address};
    snprintf(path, sizeof path, "%s/%s", halab.policy, inet_ntop(AF_INET, &address, own, sizeof own));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    size_t capacity = 4096, length = 0;
    char *text = malloc(capacity);
    for (ssize_t got; text && (got = syscall(SYS_read, fd, text + length, capacity - length - 1)) > 0;) {
        length += (size_t)got;
        if (length + 1 >= capacity) {
            char *larger = realloc(text, capacity *= 2);
            if (!larger) free(text);
            text = larger;
        }
    }
    syscall(SYS_close, fd);
    if (text) text[length] = 0;
    return text;
}

static bool fits(in_addr_t wanted, unsigned bits, in_addr_t given) {
    uint32_t mask = bits ? 0xffffffffu << (32 - bits) : 0;
    return ((ntohl(wanted) ^ ntohl(given)) & mask) == 0;
}

bool halab_denied(struct sockaddr_in *address, bool datagrams) {
    if (!halab.policy || address->sin_addr.s_addr == halab.address) return false;
    int saved = errno;
    char *text = table(), *rest = NULL;
    in_addr_t nowhere = 0;
    unsigned dead_port = 0, port = ntohs(address->sin_port);
    bool denied = false;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char verb[8], place[INET_ADDRSTRLEN], protocol[4];
        unsigned bits, low, high;
        if (sscanf(line, "nowhere %15s %u", place, &dead_port) == 2) {
            inet_pton(AF_INET, place, &nowhere);
            continue;
        }
        if (sscanf(line, "%7s %15[0-9.]/%u %3s %u %u", verb, place, &bits, protocol, &low, &high) != 6) continue;
        in_addr_t wanted;
        if (inet_pton(AF_INET, place, &wanted) != 1 || bits > 32 || !fits(wanted, bits, address->sin_addr.s_addr)) continue;
        if (strcmp(protocol, "any") && strcmp(protocol, datagrams ? "udp" : "tcp")) continue;
        if (port < low || port > high) continue;
        denied = !strcmp(verb, "deny");
        break;
    }
    free(text);
    if (denied) {
        address->sin_addr.s_addr = nowhere;
        address->sin_port = htons((uint16_t)dead_port);
    }
    errno = saved;
    return denied;
}
