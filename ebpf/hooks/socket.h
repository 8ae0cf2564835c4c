/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is asked of a socket before any packet: made, connected, sent on, given options. */
#ifndef SOCKET_H
#define SOCKET_H

#include "lib/inbound.h"
#include "lib/stub.h"
#include "lib/verdict.h"

/* The only place where `current` is surely the socket's own. */
SEC("cgroup/sock_create")
int fqdn_sock_create(struct bpf_sock *ctx)
{
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock = bpf_sk_storage_get(&sockets, ctx, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!sock)
		return PASS;
	sock->netns = bpf_get_netns_cookie(ctx);
	sock->cookie = bpf_get_socket_cookie(ctx);
	sock->creator = bpf_get_current_cgroup_id();
	sock->tgid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(sock->comm, sizeof(sock->comm));
	set_flags(sock, FQDN_SOCK_CREATED);
	if (node && node->workloads) {
		__u64 epoch = READ_ONCE(node->epoch);

		remember_workload(sock, epoch, bound_ancestor_of_current());
	}
	return PASS;
}

/*
 * Somebody in the socket's namespace listens there, as far as the port goes: it may be an address of the namespace, which only egress
 * sees. Where it is not, and the workload itself listens on that port, egress drops the SYN in silence.
 */
static __noinline int is_heard_here(struct bpf_sock_addr *ctx, const union address *dest, __u32 port)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	struct bpf_sock *sk;

	if (!dest)
		return 0;
	if (is_v4(dest)) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.daddr = dest->word[3];
		tuple.ipv4.dport = bpf_htons(port);
	} else {
		__builtin_memcpy(tuple.ipv6.daddr, dest->bytes, 16);
		tuple.ipv6.dport = bpf_htons(port);
	}
	sk = bpf_sk_lookup_tcp(ctx, &tuple, size, THIS_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/*
 * Refuses at once a connection whose SYN egress would drop in silence; a datagram that egress drops fails by itself. Whose
 * socket it is must be known from its storage: no helper tells a socket's cgroup here (6.1 to 7.x). Unknown = left to
 * egress.
 */
static __always_inline int judge_connection(struct bpf_sock_addr *ctx, const union address *dest)
{
	const struct fqdn_image_head *head;
	struct bpf_sock *sk = ctx->sk;
	struct fqdn_sock *sock = sk ? bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) : NULL;
	struct job job = {};
	struct fqdn_node *node = the_node();
	struct flow f = {};
	__u64 cgroup = 0;
	int verdict = PASS;
	bool enforced;

	if (!sock || !sk)
		return PASS;
	/* One that was made before the programs were attached. */
	if (!sock->netns)
		sock->netns = bpf_get_netns_cookie(ctx);
	clear_flags(sock, FQDN_SOCK_ACCEPTED);
	/* Sends nothing: getaddrinfo asks the routing table this way. What is sent, egress judges. */
	if (ctx->protocol == PROTO_UDP)
		set_flags(sock, FQDN_SOCK_CONNECTED);
	if (ctx->protocol != PROTO_TCP || !node || !node->workloads)
		return PASS;
	if (!cached_workload(sock, READ_ONCE(node->epoch), &cgroup) || !cgroup)
		return PASS;
	f.dest = *dest;
	f.source_port = sk->src_port;
	f.dest_port = bpf_ntohs(ctx->user_port);
	f.proto = PROTO_TCP;
	if (!f.dest_port)
		return PASS;
	if (open_policy(&job, cgroup, &head))
		return PASS; /* egress refuses and counts it */
	enforced = job.binding->flags & FQDN_BINDING_ENFORCED;
	if (!enforced && !(job.binding->flags & FQDN_BINDING_DENIES))
		return PASS;
	if (in_own_netns(sock, node) && (is_loopback(&f.dest) || is_any(&f.dest) || is_heard_here(ctx, dest, f.dest_port)))
		return PASS;
	if (begin(&job, head, cgroup, sock, &f))
		return PASS;
	if (enforced && is_dns_port(head, f.dest_port)) {
		if (!is_named_server(&job))
			verdict = refuse(cgroup, FQDN_COUNT_QUERY_TCP);
	} else if (enforced ? !may_reach(&job) : is_denied(&job)) {
		verdict = refuse(cgroup, FQDN_COUNT_CONNECT_REFUSED);
	}
	give_back(job.s);
	return verdict;
}

static __always_inline void read_v4_destination(struct bpf_sock_addr *ctx, union address *dest)
{
	map_v4(dest, ctx->user_ip4);
}

static __always_inline void read_v6_destination(struct bpf_sock_addr *ctx, union address *dest)
{
	dest->word[0] = ctx->user_ip6[0];
	dest->word[1] = ctx->user_ip6[1];
	dest->word[2] = ctx->user_ip6[2];
	dest->word[3] = ctx->user_ip6[3];
}

SEC("cgroup/connect4")
int fqdn_connect4(struct bpf_sock_addr *ctx)
{
	union address dest;

	read_v4_destination(ctx, &dest);
	return judge_connection(ctx, &dest);
}

SEC("cgroup/connect6")
int fqdn_connect6(struct bpf_sock_addr *ctx)
{
	union address dest;

	read_v6_destination(ctx, &dest);
	return judge_connection(ctx, &dest);
}

/* include/linux/socket.h and the uapi headers of each option */
#define LEVEL_IP 0
#define LEVEL_TCP 6
#define LEVEL_IPV6 41
#define LEVEL_PACKET 263
#define LEVEL_XDP 283
#define OPTION_IP_FREEBIND 15
#define OPTION_IP_TRANSPARENT 19
#define OPTION_TCP_ULP 31
#define OPTION_IPV6_TRANSPARENT 75
#define OPTION_IPV6_FREEBIND 78
#define OPTION_PACKET_QDISC_BYPASS 20

/* Past every program, or under another's address, for as long as the socket lives: refused in every mode. */
static __always_inline bool leads_round(__s32 level, __s32 name)
{
	return level == LEVEL_XDP || (level == LEVEL_PACKET && name == OPTION_PACKET_QDISC_BYPASS) ||
	       (level == LEVEL_IP && (name == OPTION_IP_FREEBIND || name == OPTION_IP_TRANSPARENT)) ||
	       (level == LEVEL_IPV6 && (name == OPTION_IPV6_FREEBIND || name == OPTION_IPV6_TRANSPARENT));
}

SEC("cgroup/setsockopt")
int fqdn_setsockopt(struct bpf_sockopt *ctx)
{
	struct fqdn_node *node = the_node();
	bool refused = false, round = leads_round(ctx->level, ctx->optname);
	__u64 cgroup;

	/* Encryption below what is judged: the bytes on the wire would be others. */
	if (ctx->level == LEVEL_TCP && ctx->optname == OPTION_TCP_ULP && ctx->sk) {
		struct fqdn_sock *sock = bpf_sk_storage_get(&sockets, ctx->sk, NULL, 0);

		refused = sock && (sock->flags & FQDN_SOCK_STREAM);
	}
	if ((refused || round) && node && node->workloads) {
		cgroup = bound_ancestor_of_current();
		if (cgroup && (refuse(cgroup, FQDN_COUNT_OPTION_REFUSED) == DROP || round))
			return DROP;
	}
	/* 0 = the kernel takes the caller's buffer, which may be longer than the page that we are shown. */
	ctx->optlen = 0;
	return PASS;
}

#endif
