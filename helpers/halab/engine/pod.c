/* The one program in a pod's own image: what a pod needs beside its containers. Static, so that the image holds nothing else.
 *
 *   pod hold [RANGE...]    keep a pod's namespaces until standard input closes, a signal comes or for ever (if it is /dev/null), and
 *                          answer for every address of the RANGEs (10.1.128.0/17) as for one's own
 *   pod leash CMD [ARG...] run a program until it ends or standard input closes, whichever comes first
 *   pod dial PORT          join standard input and output to 127.0.0.1:PORT
 *   pod kill SIGNAL PID... send a signal
 *   pod remove PATH...     remove trees
 *
 * Neighbours: image.py makes the image, sandbox.py of the node's Docker runtime and contained.py of the data plane run it.
 */
#define _GNU_SOURCE
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

/* Until standard input has ended. A null device never ends here: nobody holds the leash. */
static void wait_for_the_end(void) {
    char byte;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char name[32] = "";
    if (readlink("/proc/self/fd/0", name, sizeof name - 1) > 0 && strcmp(name, "/dev/null") == 0)
        for (;;)
            pause();
    for (;;) {
        if (poll(&input, 1, -1) < 0)
            continue; /* a child was reaped */
        if (read(0, &byte, 1) <= 0 && errno != EINTR)
            return;
    }
}

static int hold(int count, char **ranges) {
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    signal(SIGCHLD, reap);
    for (int i = 0; i < count; i++)
        if (answer_for(ranges[i]))
            return 1;
    printf("ready\n");
    fflush(stdout);
    wait_for_the_end();
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
    if (strcmp(verb, "leash") == 0 && count > 2)
        return leash(words + 2);
    if (strcmp(verb, "dial") == 0 && count == 3)
        return dial(atoi(words[2]));
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
    fprintf(stderr, "usage: pod hold [RANGE...] | leash CMD... | dial PORT | kill SIGNAL PID... | remove PATH...\n");
    return 2;
}
