/* The pod's address on a shared loopback network.
 *
 * bind to a wildcard means the pod's address; bind to localhost means an address of the pod's own that nobody else dials, so
 * "listens on localhost only" stays unreachable as it is in a real pod. Connections leave from the pod's address. Where the machine
 * refuses ports under 1024, those of the cluster's addresses are shifted, and shifted back in whatever the program is told. */
#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOPBACK htonl(INADDR_LOOPBACK)

/* The data plane's address. Envoy's datagrams come from the machine's own localhost, which a pod's program must not take for its own: it is
 * told this address instead, and what it answers goes back. */
#define DATA_PLANE (halab.cluster | htonl(2))

static bool in_cluster(in_addr_t address) { return (address & htonl(0xffff0000)) == halab.cluster; }

static in_port_t shifted(in_port_t port) {
    unsigned value = ntohs(port);
    return value && value < 1024 ? htons((uint16_t)(value + halab.shift)) : port;
}

static in_port_t unshifted(in_port_t port) {
    unsigned value = ntohs(port);
    return halab.shift && value >= halab.shift && value < halab.shift + 1024 ? htons((uint16_t)(value - halab.shift)) : port;
}

static void map_v4(struct sockaddr_in6 *address, in_addr_t v4) {
    memset(&address->sin6_addr, 0, sizeof address->sin6_addr);
    address->sin6_addr.s6_addr[10] = address->sin6_addr.s6_addr[11] = 0xff;
    memcpy(&address->sin6_addr.s6_addr[12], &v4, 4);
}

static in_addr_t mapped_v4(const struct sockaddr_in6 *address) {
    in_addr_t v4;
    memcpy(&v4, &address->sin6_addr.s6_addr[12], 4);
    return v4;
}

static int option(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, name, &value, &size) < 0 ? -1 : value;
}

int bind(int fd, const struct sockaddr *given, socklen_t length) {
    REAL(int, "bind");
    if (!halab.network || !given) return real(fd, given, length);
    if (given->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in address = *(const struct sockaddr_in *)given;
        if (address.sin_addr.s_addr == INADDR_ANY) address.sin_addr.s_addr = halab.address;
        else if (address.sin_addr.s_addr == LOOPBACK) address.sin_addr.s_addr = halab.local;
        else if (!in_cluster(address.sin_addr.s_addr)) return real(fd, given, length);
        address.sin_port = shifted(address.sin_port);
        return real(fd, &address, (socklen_t)sizeof address);
    }
    if (given->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 address = *(const struct sockaddr_in6 *)given;
        bool wildcard = IN6_IS_ADDR_UNSPECIFIED(&address.sin6_addr), local = IN6_IS_ADDR_LOOPBACK(&address.sin6_addr);
        if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
            in_addr_t v4 = mapped_v4(&address);
            if (v4 != INADDR_ANY && v4 != LOOPBACK) return real(fd, given, length);
            wildcard = v4 == INADDR_ANY;
            local = !wildcard;
        }
        if (!wildcard && !local) return real(fd, given, length);
        if (option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1) {
            /* A pod has no IPv6 address, so this socket is one that nobody reaches: any free port of ::1 will do. */
            address.sin6_addr = in6addr_loopback;
            address.sin6_port = 0;
            if (real(fd, &address, (socklen_t)sizeof address) == 0) return 0;
            int off = 0;
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
            map_v4(&address, halab.local);
            return real(fd, &address, (socklen_t)sizeof address);
        }
        map_v4(&address, wildcard ? halab.address : halab.local);
        address.sin6_port = shifted(address.sin6_port);
        return real(fd, &address, (socklen_t)sizeof address);
    }
    return real(fd, given, length);
}

/* Is somebody of this pod listening on its private localhost? A bind that would collide tells so without disturbing the server. */
static bool taken(int type, in_port_t port) {
    REAL(int, "bind");
    int saved = errno, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = halab.local};
    int on = 1;
    if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* closed connections do not count */
    bool busy = real(fd, &address, (socklen_t)sizeof address) < 0 && errno == EADDRINUSE;
    close(fd);
    errno = saved;
    return busy;
}

/* Rewrites a destination; true if it lies in the cluster, or may not be reached. */
static bool destination(int fd, struct sockaddr_in *address) {
    if (address->sin_addr.s_addr == DATA_PLANE && option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM) {
        address->sin_addr.s_addr = LOOPBACK;
        return true;
    }
    if (address->sin_addr.s_addr == LOOPBACK || address->sin_addr.s_addr == INADDR_ANY) {
        address->sin_port = shifted(address->sin_port);
        int type = option(fd, SOL_SOCKET, SO_TYPE);
        address->sin_addr.s_addr = taken(type == SOCK_DGRAM ? SOCK_DGRAM : SOCK_STREAM, address->sin_port) ? halab.local : halab.address;
        return true;
    }
    if (halab_denied(address, option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM)) return true;
    if (!in_cluster(address->sin_addr.s_addr)) return false;
    address->sin_port = shifted(address->sin_port);
    return true;
}

/* Gives an unbound socket the pod's address as its source, without taking a port yet. */
static void leave_from_pod(int fd, bool v6) {
    REAL(int, "bind");
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    int saved = errno, on = 1;
    static int (*name_of)();
    if (!name_of) name_of = (int (*)())halab_real("getsockname");
    if (name_of(fd, &own, &size) < 0) return;
    if (v6) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&own;
        if (address->sin6_port == 0 && IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr)) {
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
            map_v4(address, halab.address);
            real(fd, address, (socklen_t)sizeof *address);
        }
    } else {
        struct sockaddr_in *address = (struct sockaddr_in *)&own;
        if (address->sin_port == 0 && address->sin_addr.s_addr == INADDR_ANY) {
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
            address->sin_addr.s_addr = halab.address;
            real(fd, address, (socklen_t)sizeof *address);
        }
    }
    errno = saved;
}

/* The address to use instead of `given`, in `space`, or `given` itself. */
static const struct sockaddr *reroute(int fd, const struct sockaddr *given, socklen_t *length, struct sockaddr_storage *space) {
    if (!halab.network || !given) return given;
    if (given->sa_family == AF_INET && *length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in *address = (struct sockaddr_in *)space;
        *address = *(const struct sockaddr_in *)given;
        if (!destination(fd, address)) return given;
        leave_from_pod(fd, false);
        *length = sizeof *address;
        return (struct sockaddr *)address;
    }
    if (given->sa_family == AF_INET6 && *length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)space;
        *address = *(const struct sockaddr_in6 *)given;
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = address->sin6_port};
        if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) v4.sin_addr.s_addr = mapped_v4(address);
        else if (IN6_IS_ADDR_LOOPBACK(&address->sin6_addr) && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0) v4.sin_addr.s_addr = LOOPBACK;
        else return given;
        if (!destination(fd, &v4)) return given;
        map_v4(address, v4.sin_addr.s_addr);
        address->sin6_port = v4.sin_port;
        leave_from_pod(fd, true);
        *length = sizeof *address;
        return (struct sockaddr *)address;
    }
    return given;
}

int connect(int fd, const struct sockaddr *given, socklen_t length) {
    REAL(int, "connect");
    struct sockaddr_storage space;
    return real(fd, reroute(fd, given, &length, &space), length);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *given, socklen_t length) {
    REAL(ssize_t, "sendto");
    struct sockaddr_storage space;
    return real(fd, data, size, flags, reroute(fd, given, &length, &space), length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, "sendmsg");
    if (!halab.network || !message || !message->msg_name) return real(fd, message, flags);
    struct sockaddr_storage space;
    struct msghdr changed = *message;
    changed.msg_name = (void *)reroute(fd, message->msg_name, &changed.msg_namelen, &space);
    return real(fd, &changed, flags);
}

/* What the program is told: its own localhost again, and ports as it named them; `foreign` is what the machine's localhost is called. */
static void restore_as(struct sockaddr *address, const socklen_t *length, in_addr_t foreign) {
    if (!halab.network || !address || !length) return;
    if (address->sa_family == AF_INET && *length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        if (v4->sin_addr.s_addr == LOOPBACK) v4->sin_addr.s_addr = foreign;
        if (!in_cluster(v4->sin_addr.s_addr)) return;
        v4->sin_port = unshifted(v4->sin_port);
        if (v4->sin_addr.s_addr == halab.local) v4->sin_addr.s_addr = LOOPBACK;
    } else if (address->sa_family == AF_INET6 && *length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && mapped_v4(v6) == LOOPBACK) map_v4(v6, foreign);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && in_cluster(mapped_v4(v6))) {
            v6->sin6_port = unshifted(v6->sin6_port);
            if (mapped_v4(v6) == halab.local) map_v4(v6, LOOPBACK);
        }
    }
}

static void restore(struct sockaddr *address, const socklen_t *length) { restore_as(address, length, LOOPBACK); }

/* The sender of a datagram. */
static void restore_sender(int fd, struct sockaddr *address, const socklen_t *length) {
    if (halab.network && address && length) restore_as(address, length, option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM ? DATA_PLANE : LOOPBACK);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    REAL(int, "getsockname");
    int result = real(fd, address, length);
    if (result == 0) restore(address, length);
    return result;
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    REAL(int, "getpeername");
    int result = real(fd, address, length);
    if (result == 0) restore_sender(fd, address, length);
    return result;
}

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    REAL(int, "accept");
    int result = real(fd, address, length);
    if (result >= 0) restore(address, length);
    return result;
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    REAL(int, "accept4");
    int result = real(fd, address, length, flags);
    if (result >= 0) restore(address, length);
    return result;
}

ssize_t recvfrom(int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict address, socklen_t *restrict length) {
    REAL(ssize_t, "recvfrom");
    ssize_t result = real(fd, data, size, flags, address, length);
    if (result >= 0) restore_sender(fd, address, length);
    return result;
}

ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *address, socklen_t *length) {
    (void)room;
    return recvfrom(fd, data, size, flags, address, length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL(ssize_t, "recvmsg");
    ssize_t result = real(fd, message, flags);
    if (result >= 0 && message) restore_sender(fd, message->msg_name, &message->msg_namelen);
    return result;
}
