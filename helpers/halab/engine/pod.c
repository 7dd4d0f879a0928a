/* The one program in a pod's own image: what a pod needs beside its containers. Static, so that the image holds nothing else.
 *
 *   pod hold [-l FILE] [RANGE...]
 *                          keep a pod's namespaces until standard input closes, a signal comes or for ever (if it is /dev/null),
 *                          answer for every address of the RANGEs (10.1.128.0/17) as for one's own, and let the pod connect only to
 *                          where FILE says that it may, whenever that is written anew (firewall.c)
 *   pod firewall           0 if this kernel can do that
 *   pod leash CMD [ARG...] run a program until it ends or standard input closes, whichever comes first
 *   pod dial PORT          join standard input and output to 127.0.0.1:PORT
 *   pod relay ADDRESS PORT listen at a free port, say which, and go on in the background: each connection is joined to ADDRESS:PORT, and
 *                          after ten minutes without one it ends
 *   pod kill SIGNAL PID... send a signal
 *   pod remove PATH...     remove trees
 *
 * Neighbours: image.py makes the image, sandbox.py of the node's Docker runtime and contained.py of the data plane run it.
 */
#define _GNU_SOURCE
#include "firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

/* "ip route add local RANGE dev lo": the kernel then takes packets for, answers ARP about, and lets programs bind, all of RANGE. */
static int answer_for(char *range) {
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        char attributes[64];
    } request = {0};
    char *slash = strchr(range, '/');
    struct in_addr network;
    if (slash == NULL) {
        errno = EINVAL;
        return fail(range);
    }
    *slash = 0;
    if (inet_pton(AF_INET, range, &network) != 1) {
        errno = EINVAL;
        return fail(range);
    }
    int loopback = if_nametoindex("lo");
    request.head.nlmsg_len = NLMSG_LENGTH(sizeof request.route);
    request.head.nlmsg_type = RTM_NEWROUTE;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK;
    request.route = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = atoi(slash + 1), .rtm_table = RT_TABLE_LOCAL,
                                   .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL};
    const struct { int type; void *data; } pairs[] = {{RTA_DST, &network}, {RTA_OIF, &loopback}};
    for (int i = 0; i < 2; i++) {
        struct rtattr *attribute = (struct rtattr *)((char *)&request + NLMSG_ALIGN(request.head.nlmsg_len));
        attribute->rta_type = pairs[i].type;
        attribute->rta_len = RTA_LENGTH(4);
        memcpy(RTA_DATA(attribute), pairs[i].data, 4);
        request.head.nlmsg_len = NLMSG_ALIGN(request.head.nlmsg_len) + RTA_LENGTH(4);
    }
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[256]; } reply;
    if (link < 0 || send(link, &request, request.head.nlmsg_len, 0) < 0 || recv(link, &reply, sizeof reply, 0) < 0)
        return fail("netlink");
    close(link);
    errno = -reply.error.error;
    return errno ? fail("route") : 0;
}

static void reap(int number) {
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void leave(int number) {
    (void)number;
    _exit(0);
}

/* The whole of a file; NULL if there is none. */
static char *contents(const char *path) {
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t bytes;
    if (file == NULL)
        return NULL;
    if (getdelim(&text, &bytes, 0, file) < 0 && text != NULL)
        *text = 0;
    fclose(file);
    return text;
}

/* Put the table in force; an error leaves what was. Without a table and without a firewall there is nothing to be wrong. */
static int limit(const char *path) {
    char *table = contents(path);
    int error = firewall(table), wanted = table != NULL;
    free(table);
    if (!error || !wanted)
        return 0;
    errno = error;
    return fail("NetworkPolicy cannot be enforced");
}

/* Until standard input has ended. A null device never ends here: nobody holds the leash. */
static void wait_for_the_end(int changes, const char *table) {
    char bytes[4096], name[32] = "";
    struct pollfd ends[] = {{.fd = 0, .events = POLLIN}, {.fd = changes, .events = POLLIN}};
    if (readlink("/proc/self/fd/0", name, sizeof name - 1) > 0 && strcmp(name, "/dev/null") == 0)
        ends[0].fd = -1;
    for (;;) {
        if (poll(ends, 2, -1) < 0)
            continue; /* a child was reaped */
        if (ends[1].revents && read(changes, bytes, sizeof bytes) > 0)
            limit(table);
        if (ends[0].revents && read(0, bytes, 1) <= 0 && errno != EINTR)
            return;
    }
}

/* The folder, since the file comes and goes, and is replaced. */
static int watch(const char *path) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    int found = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return found < 0 || inotify_add_watch(found, folder, IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE) < 0 ? -1 : found;
}

static int hold(int count, char **ranges) {
    const char *table = NULL;
    int changes = -1;
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    signal(SIGCHLD, reap);
    if (count > 1 && strcmp(ranges[0], "-l") == 0) {
        table = ranges[1];
        count -= 2;
        ranges += 2;
        if (strchr(table, '/') == NULL || (changes = watch(table)) < 0)
            return fail(table);
        if (limit(table))
            return 1;
    }
    for (int i = 0; i < count; i++)
        if (answer_for(ranges[i]))
            return 1;
    printf("ready\n");
    fflush(stdout);
    wait_for_the_end(changes, table);
    return 0;
}

static pid_t child;

static void pass_on(int number) { kill(child, number); }

static int leash(char **command) {
    int gone[2];
    if (pipe2(gone, O_CLOEXEC) < 0)
        return fail("pipe");
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct rlimit files; /* as many as the engine allows: a connection takes two */
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
            files.rlim_cur = files.rlim_max;
            setrlimit(RLIMIT_NOFILE, &files);
        }
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0)
            dup2(null, 0);
        dup2(gone[1], 1000); /* stays open as long as the program lives: its closing tells us */
        execvp(command[0], command);
        _exit(fail(command[0]) + 126);
    }
    close(gone[1]);
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    signal(SIGUSR2, pass_on);
    struct pollfd ends[] = {{.fd = 0, .events = POLLIN}, {.fd = gone[0], .events = POLLIN}};
    for (char bytes[256];;) {
        if (poll(ends, 2, -1) < 0)
            continue;
        if (ends[1].revents)
            break;
        if (ends[0].revents && read(0, bytes, sizeof bytes) <= 0) {
            kill(child, SIGKILL);
            break;
        }
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int copy(int from, int to) {
    char bytes[65536];
    ssize_t got = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, put; done < got; done += put)
        if ((put = write(to, bytes + done, got - done)) < 0)
            return 0;
    return got > 0;
}

static int dial(int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int link = socket(AF_INET, SOCK_STREAM, 0);
    if (link < 0 || connect(link, (struct sockaddr *)&there, sizeof there) < 0)
        return fail("connect");
    if (write(2, "connected\n", 10) < 0)
        return 1;
    struct pollfd ends[] = {{.fd = 0, .events = POLLIN}, {.fd = link, .events = POLLIN}};
    while (poll(ends, 2, -1) >= 0 || errno == EINTR) {
        if (ends[0].revents && !copy(0, link)) {
            shutdown(link, SHUT_WR);
            ends[0].fd = -1;
        }
        if (ends[1].revents && !copy(link, 1))
            return 0;
    }
    return fail("poll");
}

/* Both directions until both have ended. */
static void join(int left, int right) {
    struct pollfd ends[] = {{.fd = left, .events = POLLIN}, {.fd = right, .events = POLLIN}};
    for (int open = 2; open;) {
        if (poll(ends, 2, -1) < 0)
            return;
        for (int i = 0; i < 2; i++)
            if (ends[i].revents && !copy(ends[i].fd, i ? left : right)) {
                shutdown(i ? left : right, SHUT_WR);
                ends[i].fd = -1;
                open--;
            }
    }
}

static int relay(const char *address, int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)}, here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, address, &there.sin_addr) != 1) {
        errno = EINVAL;
        return fail(address);
    }
    if (server < 0 || bind(server, (struct sockaddr *)&here, sizeof here) < 0 || listen(server, 128) < 0 ||
        getsockname(server, (struct sockaddr *)&here, &size) < 0)
        return fail("listen");
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    if (fork())
        return 0;
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    struct pollfd waiting = {.fd = server, .events = POLLIN};
    while (poll(&waiting, 1, 600 * 1000) > 0) {
        int left = accept(server, NULL, NULL);
        if (left < 0)
            continue;
        if (fork() == 0) {
            int right = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(right, (struct sockaddr *)&there, sizeof there) == 0)
                join(left, right);
            _exit(0);
        }
        close(left);
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *place) {
    (void)state, (void)kind, (void)place;
    if (remove(path) < 0 && errno != ENOENT && errno != EBUSY)
        fail(path);
    return 0;
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    int status = 0;
    if (strcmp(verb, "hold") == 0)
        return hold(count - 2, words + 2);
    if (strcmp(verb, "firewall") == 0) {
        errno = firewall("");
        return errno ? fail("nftables") : firewall(NULL);
    }
    if (strcmp(verb, "leash") == 0 && count > 2)
        return leash(words + 2);
    if (strcmp(verb, "dial") == 0 && count == 3)
        return dial(atoi(words[2]));
    if (strcmp(verb, "relay") == 0 && count == 4)
        return relay(words[2], atoi(words[3]));
    if (strcmp(verb, "kill") == 0 && count > 3) {
        for (int i = 3; i < count; i++)
            if (kill(atoi(words[i]), atoi(words[2])) < 0)
                status = fail(words[i]);
        return status;
    }
    if (strcmp(verb, "remove") == 0 && count > 2) {
        for (int i = 2; i < count; i++)
            if (nftw(words[i], remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
                status = fail(words[i]);
        return status;
    }
    fprintf(stderr, "usage: pod hold [-l FILE] [RANGE...] | firewall | leash CMD... | dial PORT | relay ADDRESS PORT | kill SIGNAL PID... | remove PATH...\n");
    return 2;
}
