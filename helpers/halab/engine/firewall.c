/* Where a pod may connect to, kept by the kernel: the pod's table (written by the data plane; sandbox/src/policy.c reads the same form) as a chain
 * of nftables on the way out of the pod's network namespace.
 *
 *     allow 10.1.2.7/32 tcp 80 80
 *     deny 10.1.2.7/32 any 0 65535
 *
 * The first line that fits decides; where none does the packet passes. Only what begins a connection is judged, as by any NetworkPolicy: of TCP
 * the SYN (without the kernel's connection tracking: connections that stand go on), of everything else what answers nothing. What is denied
 * is dropped. The messages are nfnetlink's (linux/netfilter/nf_tables.h); a batch takes effect as a whole or not at all. */
#define _GNU_SOURCE
#include "firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE "halab"
#define CHAIN "out"
#define TCP_FLAGS 13 /* offset of the flags in TCP's header */
#define SYN 0x02
#define ACK 0x10

static char *data;
static size_t length, capacity;

static void *put(size_t bytes) {
    size_t aligned = NLMSG_ALIGN(bytes);
    if (length + aligned > capacity && (data = realloc(data, capacity = 2 * capacity + aligned + 4096)) == NULL)
        abort();
    void *place = memset(data + length, 0, aligned);
    length += aligned;
    return place;
}

static void attribute(int type, const void *value, size_t bytes) {
    struct nlattr *head = put(sizeof *head + bytes);
    head->nla_type = type;
    head->nla_len = sizeof *head + bytes;
    memcpy(head + 1, value, bytes);
}

static void number(int type, uint32_t value) {
    value = htonl(value);
    attribute(type, &value, sizeof value);
}

static void text(int type, const char *value) { attribute(type, value, strlen(value) + 1); }

/* Nested attributes and messages are closed by telling them where they began. */
static size_t open_nest(int type) {
    size_t begin = length;
    ((struct nlattr *)put(sizeof(struct nlattr)))->nla_type = type | NLA_F_NESTED;
    return begin;
}

static void close_nest(size_t begin) { ((struct nlattr *)(data + begin))->nla_len = length - begin; }

static size_t open_message(int type, int flags, int family, int resource) {
    size_t begin = length;
    struct nlmsghdr *head = put(sizeof *head + sizeof(struct nfgenmsg));
    head->nlmsg_type = type;
    head->nlmsg_flags = NLM_F_REQUEST | flags;
    *(struct nfgenmsg *)(head + 1) = (struct nfgenmsg){.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
    return begin;
}

static void close_message(size_t begin) { ((struct nlmsghdr *)(data + begin))->nlmsg_len = length - begin; }

static size_t command(int type, int flags) { return open_message(NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_IPV4, 0); }

static void table(int type, int flags) {
    size_t message = command(type, flags);
    text(NFTA_TABLE_NAME, TABLE);
    close_message(message);
}

/* A rule is a list of expressions. Register 1 holds what was loaded last; a comparison that fails ends the rule. */
struct expression { size_t element, values; };

static struct expression begin(const char *name) {
    struct expression found = {.element = open_nest(NFTA_LIST_ELEM)};
    text(NFTA_EXPR_NAME, name);
    found.values = open_nest(NFTA_EXPR_DATA);
    return found;
}

static void end(struct expression given) {
    close_nest(given.values);
    close_nest(given.element);
}

static void value(int type, const void *bytes, size_t count) {
    size_t nest = open_nest(type);
    attribute(NFTA_DATA_VALUE, bytes, count);
    close_nest(nest);
}

static void load_meta(int key) {
    struct expression meta = begin("meta");
    number(NFTA_META_KEY, key);
    number(NFTA_META_DREG, NFT_REG_1);
    end(meta);
}

static void load_packet(int base, int offset, int bytes) {
    struct expression payload = begin("payload");
    number(NFTA_PAYLOAD_DREG, NFT_REG_1);
    number(NFTA_PAYLOAD_BASE, base);
    number(NFTA_PAYLOAD_OFFSET, offset);
    number(NFTA_PAYLOAD_LEN, bytes);
    end(payload);
}

static void mask(const void *bits, size_t count) {
    static const char zero[4];
    struct expression bitwise = begin("bitwise");
    number(NFTA_BITWISE_SREG, NFT_REG_1);
    number(NFTA_BITWISE_DREG, NFT_REG_1);
    number(NFTA_BITWISE_LEN, count);
    value(NFTA_BITWISE_MASK, bits, count);
    value(NFTA_BITWISE_XOR, zero, count);
    end(bitwise);
}

static void compare(int operation, const void *bytes, size_t count) {
    struct expression cmp = begin("cmp");
    number(NFTA_CMP_SREG, NFT_REG_1);
    number(NFTA_CMP_OP, operation);
    value(NFTA_CMP_DATA, bytes, count);
    end(cmp);
}

static void only_protocol(uint8_t protocol) {
    load_meta(NFT_META_L4PROTO);
    compare(NFT_CMP_EQ, &protocol, sizeof protocol);
}

static struct { size_t message, list; } rule;

static void open_rule(void) {
    rule.message = command(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    text(NFTA_RULE_TABLE, TABLE);
    text(NFTA_RULE_CHAIN, CHAIN);
    rule.list = open_nest(NFTA_RULE_EXPRESSIONS);
}

static void close_rule(int verdict) {
    struct expression immediate = begin("immediate");
    number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t outer = open_nest(NFTA_IMMEDIATE_DATA), inner = open_nest(NFTA_DATA_VERDICT);
    number(NFTA_VERDICT_CODE, verdict);
    close_nest(inner);
    close_nest(outer);
    end(immediate);
    close_nest(rule.list);
    close_message(rule.message);
}

static void chain(bool tracked) {
    size_t message = command(NFT_MSG_NEWCHAIN, NLM_F_CREATE), hook;
    text(NFTA_CHAIN_TABLE, TABLE);
    text(NFTA_CHAIN_NAME, CHAIN);
    hook = open_nest(NFTA_CHAIN_HOOK);
    number(NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
    number(NFTA_HOOK_PRIORITY, 0);
    close_nest(hook);
    text(NFTA_CHAIN_TYPE, "filter");
    close_message(message);
    uint16_t loopback = ARPHRD_LOOPBACK;
    open_rule();
    load_meta(NFT_META_OIFTYPE);
    compare(NFT_CMP_EQ, &loopback, sizeof loopback);
    close_rule(NF_ACCEPT);
    uint8_t both = SYN | ACK, first = SYN;
    open_rule();
    only_protocol(IPPROTO_TCP);
    load_packet(NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1);
    mask(&both, 1);
    compare(NFT_CMP_NEQ, &first, 1);
    close_rule(NF_ACCEPT);
    if (!tracked)
        return;
    uint32_t known = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED), none = 0;
    open_rule();
    struct expression ct = begin("ct");
    number(NFTA_CT_KEY, NFT_CT_STATE);
    number(NFTA_CT_DREG, NFT_REG_1);
    end(ct);
    mask(&known, sizeof known);
    compare(NFT_CMP_NEQ, &none, sizeof none);
    close_rule(NF_ACCEPT);
}

static void line(const char *words) {
    char verb[8], place[INET_ADDRSTRLEN], protocol[4];
    unsigned bits, low, high;
    struct in_addr network;
    if (sscanf(words, "%7s %15[0-9.]/%u %3s %u %u", verb, place, &bits, protocol, &low, &high) != 6 || bits > 32 ||
        inet_pton(AF_INET, place, &network) != 1)
        return;
    uint32_t netmask = bits ? htonl(0xffffffffu << (32 - bits)) : 0, wanted = network.s_addr & netmask;
    open_rule();
    if (bits) {
        load_packet(NFT_PAYLOAD_NETWORK_HEADER, 16, 4); /* the destination's address */
        mask(&netmask, sizeof netmask);
        compare(NFT_CMP_EQ, &wanted, sizeof wanted);
    }
    if (strcmp(protocol, "any")) {
        only_protocol(strcmp(protocol, "udp") ? IPPROTO_TCP : IPPROTO_UDP);
        uint16_t from = htons(low), to = htons(high);
        load_packet(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2); /* the destination's port */
        compare(NFT_CMP_GTE, &from, sizeof from);
        compare(NFT_CMP_LTE, &to, sizeof to);
    }
    close_rule(strcmp(verb, "deny") ? NF_ACCEPT : NF_DROP);
}

/* Everything that the kernel has to say about a batch is there when it has been sent. */
static int send_all(void) {
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), room = length + 65536, error = 0;
    if (link < 0)
        return errno;
    setsockopt(link, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    if (send(link, data, length, 0) < 0)
        error = errno;
    char replies[8192];
    for (ssize_t got; !error && (got = recv(link, replies, sizeof replies, MSG_DONTWAIT)) > 0;)
        for (struct nlmsghdr *head = (void *)replies; NLMSG_OK(head, got) && !error; head = NLMSG_NEXT(head, got))
            if (head->nlmsg_type == NLMSG_ERROR)
                error = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
    close(link);
    return error;
}

static int install(const char *lines, bool tracked) {
    length = 0;
    close_message(open_message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    table(NFT_MSG_NEWTABLE, NLM_F_CREATE); /* so that there is one to delete */
    table(NFT_MSG_DELTABLE, 0);
    if (lines != NULL) {
        table(NFT_MSG_NEWTABLE, NLM_F_CREATE);
        chain(tracked);
        for (const char *at = lines; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
            line(at);
    }
    close_message(open_message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    return send_all();
}

int firewall(const char *lines) {
    int error = install(lines, true);
    if (error && lines != NULL)
        error = install(lines, false); /* a kernel without connection tracking */
    return error;
}
