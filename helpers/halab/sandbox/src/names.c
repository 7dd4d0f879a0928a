/* Names are looked up at the cluster's DNS, whose port may be shifted and whose address may not stand in /etc/resolv.conf.
 *
 * The C library's resolver speaks to its servers with internal calls that cannot be replaced; but it heeds a changed `_res`
 * (resolver(3)), so each look-up first points this thread's `_res` at the cluster. */
#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void point_at_cluster(void) {
    if (!halab.network || !halab.dns) return;
    static __thread bool pointed;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_addr.s_addr = halab.dns, .sin_port = htons(53)};
    bool denied = halab_denied(&server, true);
    if (!denied && !halab.shift && !halab.search && !pointed) return;
    pointed = true;
    if (!denied) server.sin_port = htons((uint16_t)(53 + halab.shift));
    int saved = errno;
    if (!(_res.options & RES_INIT) && res_init() < 0) return;
    _res.nscount = 1;
    _res.nsaddr_list[0] = server;
    if (halab.search) {
        int count = 0;
        memset(_res.dnsrch, 0, sizeof _res.dnsrch);
        snprintf(_res.defdname, sizeof _res.defdname, "%s", halab.search);
        for (char *word = strtok(_res.defdname, " "); word && count < MAXDNSRCH; word = strtok(NULL, " ")) _res.dnsrch[count++] = word;
        _res.ndots = halab.ndots;
    }
    errno = saved;
}

/* /etc/hosts of a pod without a mount namespace: its own name. */
static bool own_name(const char *name) {
    if (!halab.hosts || !name) return false;
    size_t length = strlen(name);
    for (const char *word = halab.hosts; word && *word; word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
        if (strcspn(word, " ") == length && !strncmp(word, name, length)) return true;
    return false;
}

/* The first name that /etc/hosts would give: the one with the domain, if the pod has one. */
static char *full_name(void) { return strndup(halab.hosts, strcspn(halab.hosts, " ")); }

static const char *literal(const char *name, char *space, size_t size) {
    if (!own_name(name)) return name;
    struct in_addr address = {halab.address};
    return inet_ntop(AF_INET, &address, space, (socklen_t)size);
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints, struct addrinfo **restrict result) {
    REAL(int, "getaddrinfo");
    char space[64];
    point_at_cluster();
    int error = real(literal(name, space, sizeof space), service, hints, result);
    if (!error && own_name(name) && (*result)->ai_canonname) {
        free((*result)->ai_canonname);
        (*result)->ai_canonname = full_name();
    }
    return error;
}

static struct hostent *named(struct hostent *entry, const char *name) {
    static char *full;
    if (!entry || !own_name(name)) return entry;
    if (!full) full = full_name();
    if (full) entry->h_name = full;
    return entry;
}

struct hostent *gethostbyname(const char *name) {
    static struct hostent *(*real)(const char *);
    if (!real) real = (struct hostent * (*)(const char *)) halab_real("gethostbyname");
    char space[64];
    point_at_cluster();
    return named(real(literal(name, space, sizeof space)), name);
}

struct hostent *gethostbyname2(const char *name, int family) {
    static struct hostent *(*real)(const char *, int);
    if (!real) real = (struct hostent * (*)(const char *, int)) halab_real("gethostbyname2");
    char space[64];
    point_at_cluster();
    return named(real(family == AF_INET ? literal(name, space, sizeof space) : name, family), name);
}

int gethostbyname_r(const char *restrict name, struct hostent *restrict entry, char *restrict buffer, size_t size, struct hostent **restrict result,
                    int *restrict error) {
    REAL(int, "gethostbyname_r");
    char space[64];
    point_at_cluster();
    return real(literal(name, space, sizeof space), entry, buffer, size, result, error);
}

int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict entry, char *restrict buffer, size_t size,
                     struct hostent **restrict result, int *restrict error) {
    REAL(int, "gethostbyname2_r");
    char space[64];
    point_at_cluster();
    return real(family == AF_INET ? literal(name, space, sizeof space) : name, family, entry, buffer, size, result, error);
}

int getnameinfo(const struct sockaddr *restrict address, socklen_t length, char *restrict host, socklen_t host_size, char *restrict service,
                socklen_t service_size, int flags) {
    REAL(int, "getnameinfo");
    point_at_cluster();
    return real(address, length, host, host_size, service, service_size, flags);
}

int res_query(const char *name, int class, int type, unsigned char *answer, int size) {
    REAL(int, "res_query");
    point_at_cluster();
    return real(name, class, type, answer, size);
}

int res_search(const char *name, int class, int type, unsigned char *answer, int size) {
    REAL(int, "res_search");
    point_at_cluster();
    return real(name, class, type, answer, size);
}

int gethostname(char *name, size_t size) {
    REAL(int, "gethostname");
    if (!halab.hostname) return real(name, size);
    size_t length = strlen(halab.hostname) + 1;
    memcpy(name, halab.hostname, length < size ? length : size);
    if (length > size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

int __gethostname_chk(char *name, size_t size, size_t room) { (void)room; return gethostname(name, size); }

int uname(struct utsname *names) {
    REAL(int, "uname");
    int result = real(names);
    if (result == 0 && halab.hostname) snprintf(names->nodename, sizeof names->nodename, "%s", halab.hostname);
    return result;
}
