// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The hooks. Each adapts its context and asks one question of lib/. Loaded once; no policy is in here.
 *
 * A packet of a bound workload passes only where a line below says so; the rest is refused with a reason.
 */
#include "lib/answer.h"
#include "lib/sweep.h"

#define PASS 1
#define DROP 0

/* include/uapi/linux/icmpv6.h, include/linux/icmpv6.h */
#define MLD_REPORT 131
#define MLD_DONE 132
#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define MLD2_REPORT 143
/* enum in include/net/tcp_states.h */
#define STATE_LISTEN 10
/* include/linux/net.h */
#define TYPE_RAW 3
/* include/uapi/linux/bpf.h */
#define SOCK_OPS_CONNECT 3
#define SOCK_OPS_PASSIVE_ESTABLISHED 5
#define SOCK_OPS_LISTEN 11
/* include/linux/socket.h and the uapi headers of each option */
#define LEVEL_IP 0
#define LEVEL_IPV6 41
#define LEVEL_PACKET 263
#define LEVEL_XDP 283
#define OPTION_IP_FREEBIND 15
#define OPTION_IP_TRANSPARENT 19
#define OPTION_IPV6_TRANSPARENT 75
#define OPTION_IPV6_FREEBIND 78
#define OPTION_PACKET_QDISC_BYPASS 20

const volatile __u64 fqdn_abi = FQDN_ABI;

/* What a workload in audit mode would have been refused is counted and passed. */
static __noinline int refuse(__u64 cgroup, __u32 reason)
{
	struct fqdn_workload *workload = bpf_map_lookup_elem(&workloads, &cgroup);

	count(reason);
	if (workload && workload->mode == FQDN_MODE_AUDIT) {
		count(FQDN_COUNT_ALLOWED_AUDIT);
		return PASS;
	}
	return DROP;
}

/*
 * Image, head and binding for a workload. 0, or the reason for which it is denied. The binding is looked up
 * for the image just read, never for another.
 */
static __always_inline int open_policy(struct job *job, __u64 cgroup, const struct fqdn_image_head **head)
{
	struct fqdn_binding_key key = { .cgroup = cgroup };

	if (!open_image(job))
		return FQDN_COUNT_IMAGE_MISSING;
	*head = image_head(job);
	if (!*head)
		return FQDN_COUNT_IMAGE_MISSING;
	key.generation = (*head)->generation;
	job->binding = bpf_map_lookup_elem(&bindings, &key);
	return job->binding ? 0 : FQDN_COUNT_BINDING_MISSING;
}

static __always_inline void prepare(struct job *job, const struct fqdn_image_head *head, __u64 cgroup, const struct flow *f)
{
	struct scratch *s = job->s;

	s->generation = head->generation;
	s->has_star = head->flags & FQDN_IMAGE_STAR;
	s->cgroup = cgroup;
	s->now = bpf_ktime_get_boot_ns();
	s->flow = *f;
}

/* fe80::/10 or ff02::/16 */
static __always_inline bool stays_on_link(const union address *a)
{
	return (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80) || (a->bytes[0] == 0xff && a->bytes[1] == 0x02);
}

/*
 * To an address that is not of the link: no longer than a message with one option, and a solicitation asks for the very
 * address that it is sent to. A raw socket made before the programs were attached looks like the kernel's own.
 */
static __always_inline int probes_a_neighbour(struct __sk_buff *skb, const struct flow *f)
{
	union address target;

	if (f->icmp_type == ND_ROUTER_SOLICIT || skb->len > f->payload + 32 || bpf_skb_load_bytes(skb, f->payload + 8, &target, 16))
		return 0;
	return f->icmp_type == ND_NEIGHBOUR_ADVERT || same_address(target.bytes, &f->dest);
}

/*
 * IPv6 lives by these (RFC 4861 section 7.1, RFC 3810 section 5). The kernel's own sockets never pass sock_create,
 * so a socket that did is the workload's raw one: it may speak to the link only, and not as a router.
 */
static __always_inline int is_neighbour_message(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock, bool *forged)
{
	bool own = sock && (sock->flags & FQDN_SOCK_CREATED);

	if (f->proto != PROTO_ICMPV6 || is_v4(&f->dest))
		return 0;
	if (f->icmp_type == MLD_REPORT || f->icmp_type == MLD_DONE || f->icmp_type == MLD2_REPORT)
		return f->dest.bytes[0] == 0xff && f->dest.bytes[1] == 0x02;
	if (f->icmp_type == ND_ROUTER_ADVERT || f->icmp_type == ND_NEIGHBOUR_ADVERT + 1) {
		*forged = own;
		return !own && f->hop_limit == 255 && stays_on_link(&f->dest);
	}
	if (f->icmp_type != ND_ROUTER_SOLICIT && f->icmp_type != ND_NEIGHBOUR_SOLICIT && f->icmp_type != ND_NEIGHBOUR_ADVERT)
		return 0;
	*forged = !stays_on_link(&f->dest) && (own || !probes_a_neighbour(skb, f));
	return f->hop_limit == 255 && !*forged;
}

/* A listening socket speaks only in handshakes; it has no verdict of its own (SYN-ACKs run with it as skb->sk). */
static __always_inline bool is_handshake(struct __sk_buff *skb, const struct flow *f)
{
	bool syn_ack = (f->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == (TCP_FLAG_SYN | TCP_FLAG_ACK);

	return (syn_ack || (f->tcp_flags & TCP_FLAG_RST)) && skb->len <= f->payload;
}

static __always_inline bool opens_connection(const struct flow *f)
{
	return f->proto == PROTO_TCP && (f->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

static __always_inline void inbound_key(struct fqdn_inbound_key *key, __u64 owner, const union address *peer, __u16 port, __u16 local, __u32 proto)
{
	key->owner = owner;
	__builtin_memcpy(key->addr, peer->bytes, 16);
	key->port = port;
	key->local_port = local;
	key->proto = proto;
}

/* The peer's datagrams have come in, we did not speak first, and the last one is not long ago. */
static __always_inline int came_in(const struct fqdn_sock *sock, const struct flow *f)
{
	struct fqdn_inbound_key key = {};
	struct fqdn_inbound *peer;

	if (!sock || !sock->netns || (sock->flags & FQDN_SOCK_CONNECTED))
		return 0;
	inbound_key(&key, sock->netns, &f->dest, f->dest_port, f->source_port, f->proto);
	peer = bpf_map_lookup_elem(&inbound, &key);
	return peer && peer->state == FQDN_INBOUND_PEER && bpf_ktime_get_boot_ns() - peer->time < FQDN_INBOUND_MS * 1000000ULL;
}

/* The reply of a server: TCP by the accepted socket's peer, UDP by the peer's last packet. */
static __always_inline int is_reply(const struct flow *f, const struct fqdn_sock *sock)
{
	if (f->proto == PROTO_TCP)
		return sock && (sock->flags & FQDN_SOCK_ACCEPTED) && sock->peer_port == f->dest_port && same_address(sock->peer, &f->dest);
	return f->proto == PROTO_UDP && came_in(sock, f);
}

/* We spoke first: what this peer sends opens nothing. */
static __always_inline void mark_asked(const struct fqdn_sock *sock, const struct flow *f)
{
	struct fqdn_inbound asked = { .state = FQDN_INBOUND_ASKED };
	struct fqdn_inbound_key key = {};

	if (f->proto != PROTO_UDP || !sock || !sock->netns)
		return;
	inbound_key(&key, sock->netns, &f->dest, f->dest_port, f->source_port, f->proto);
	bpf_map_update_elem(&inbound, &key, &asked, BPF_NOEXIST);
}

/* A DNS query over UDP, whole in `job->s`. */
static __always_inline int judge_query(struct job *job, struct fqdn_sock *sock, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	int verdict = PASS;

	if (!read_query(job))
		return refuse(s->cgroup, FQDN_COUNT_QUERY_MALFORMED);
	if (may_ask(job))
		count(FQDN_COUNT_QUERY_ALLOWED);
	else
		verdict = refuse(s->cgroup, FQDN_COUNT_QUERY_REFUSED);
	if (verdict == PASS && !await_answer(job, sock, node))
		return refuse(s->cgroup, FQDN_COUNT_QUERY_PENDING_FULL);
	return verdict;
}

/* `sock` = where to remember an allowed flow, or none. */
static __always_inline int judge_packet(struct job *job, struct fqdn_sock *sock)
{
	struct scratch *s = job->s;

	if (!may_reach(job))
		return refuse(s->cgroup, FQDN_COUNT_ADDRESS_REFUSED);
	mark_asked(sock, &s->flow);
	if (sock)
		/* An established TCP connection outlives the address's time; a new one begins with a SYN and is judged. */
		remember_allow(sock, &s->flow, s->cgroup, s->generation, job->binding->version, s->flow.proto == PROTO_TCP ? 0 : s->expiry);
	count(FQDN_COUNT_ALLOWED);
	return PASS;
}

SEC("cgroup_skb/egress")
int fqdn_egress(struct __sk_buff *skb)
{
	const struct fqdn_image_head *head;
	struct job job = { .skb = skb };
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock;
	struct bpf_sock *sk = skb->sk;
	bool forged = false, raw, enforced;
	struct flow f;
	__u64 cgroup;
	int verdict, why;

	if (!node || !node->workloads || !sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return PASS; /* this hook runs for full sockets only (BPF_CGROUP_RUN_PROG_INET_EGRESS) */
	sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	cgroup = workload_of(skb, sock, READ_ONCE(node->epoch));
	if (!cgroup)
		return PASS;
	raw = sk->type == TYPE_RAW;

	why = read_flow(skb, &f);
	if (why)
		return refuse(cgroup, why);
	why = open_policy(&job, cgroup, &head);
	if (why)
		return refuse(cgroup, why);
	/* Before everything that passes, and in audit mode too: what poses as a resolver teaches others. */
	if (f.source_port && is_dns_port(head, f.source_port) && resolver_entries(head->generation, &f.source)) {
		count(FQDN_COUNT_FORGED_ANSWER);
		return DROP;
	}
	if (!raw && !opens_connection(&f) && sock && cached_allow(sock, &f, cgroup, head->generation, job.binding->version))
		return PASS;
	enforced = job.binding->flags & FQDN_BINDING_ENFORCED;
	if (!enforced && !(job.binding->flags & FQDN_BINDING_DENIES)) {
		count(FQDN_COUNT_ALLOWED_UNENFORCED);
		mark_asked(sock, &f);
		return PASS;
	}

	if (skb->ifindex == LOOPBACK_DEVICE && in_own_netns(sock, node) && !raw) {
		count(FQDN_COUNT_ALLOWED_LOCAL);
		return PASS;
	}
	if (is_neighbour_message(skb, &f, sock, &forged)) {
		count(FQDN_COUNT_ALLOWED_NEIGHBOUR);
		return PASS;
	}
	if (forged && enforced)
		return refuse(cgroup, FQDN_COUNT_NEIGHBOUR_FORGED);
	if (f.proto == PROTO_TCP && sk->state == STATE_LISTEN) {
		if (!is_handshake(skb, &f))
			return refuse(cgroup, FQDN_COUNT_LISTENER_DATA);
		count(FQDN_COUNT_ALLOWED_REPLY);
		return PASS;
	}
	/* A raw socket hears what others were sent: peers of others are none of its own. */
	if (!raw && is_reply(&f, sock)) {
		count(FQDN_COUNT_ALLOWED_REPLY);
		return PASS;
	}

	if (!enforced) {
		job.s = take_scratch();
		if (!job.s)
			return refuse(cgroup, FQDN_COUNT_SCRATCH_BUSY);
		prepare(&job, head, cgroup, &f);
		verdict = is_denied(&job) ? refuse(cgroup, FQDN_COUNT_ADDRESS_REFUSED) : PASS;
		give_back(job.s);
		mark_asked(sock, &f);
		return verdict;
	}
	if (f.proto == PROTO_TCP && is_dns_port(head, f.dest_port))
		return refuse(cgroup, FQDN_COUNT_QUERY_TCP);
	if (f.proto == PROTO_UDP && skb->gso_segs > 1 && is_dns_port(head, f.dest_port))
		return refuse(cgroup, FQDN_COUNT_QUERY_SEGMENTED);
	job.s = take_scratch();
	if (!job.s)
		return refuse(cgroup, FQDN_COUNT_SCRATCH_BUSY);
	prepare(&job, head, cgroup, &f);
	if (is_dns_port(head, f.dest_port))
		verdict = f.proto == PROTO_UDP ? judge_query(&job, sock, node) : refuse(cgroup, FQDN_COUNT_QUERY_MALFORMED);
	else
		verdict = judge_packet(&job, raw ? NULL : sock);
	give_back(job.s);
	return verdict;
}

/* A peer from outside that we have not spoken to: its packet opens the way back. */
static __always_inline void note_inbound(struct __sk_buff *skb, const struct flow *f, __u64 owner)
{
	struct fqdn_inbound fresh = { .state = FQDN_INBOUND_PEER, .time = bpf_ktime_get_boot_ns() };
	struct fqdn_inbound_key key = {};
	struct fqdn_inbound *peer;

	if (skb->ifindex == LOOPBACK_DEVICE || is_loopback(&f->source) || !owner)
		return;
	inbound_key(&key, owner, &f->source, f->source_port, f->dest_port, f->proto);
	peer = bpf_map_lookup_elem(&inbound, &key);
	if (!peer)
		bpf_map_update_elem(&inbound, &key, &fresh, BPF_NOEXIST);
	else if (peer->state == FQDN_INBOUND_PEER)
		peer->time = fresh.time;
}

/* An answer over loopback teaches only where the resolver itself is a neighbour on the host. */
static __always_inline int came_from_afar(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock, const struct fqdn_node *node)
{
	return skb->ifindex != LOOPBACK_DEVICE || (is_loopback(&f->source) && sock && sock->netns && sock->netns == node->host_netns);
}

/* Never drops: what is not understood is passed and teaches nothing. */
SEC("cgroup_skb/ingress")
int fqdn_ingress(struct __sk_buff *skb)
{
	const struct fqdn_image_head *head;
	struct job job = { .skb = skb };
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock;
	struct bpf_sock *sk = skb->sk;
	__u64 cgroup;
	struct flow f;

	if (!node || !node->workloads || !sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return PASS;
	sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	cgroup = workload_of(skb, sock, READ_ONCE(node->epoch));
	if (!cgroup || read_flow(skb, &f))
		return PASS;
	if (f.proto == PROTO_TCP) {
		if (sk->state == STATE_LISTEN && opens_connection(&f))
			note_inbound(skb, &f, sock ? sock->netns : 0);
		return PASS;
	}
	if (f.proto != PROTO_UDP || sk->type == TYPE_RAW || open_policy(&job, cgroup, &head))
		return PASS;
	if (!is_dns_port(head, f.source_port)) {
		note_inbound(skb, &f, sock && !(sock->flags & FQDN_SOCK_CONNECTED) ? sock->netns : 0);
		return PASS;
	}
	if (!came_from_afar(skb, &f, sock, node)) {
		count(FQDN_COUNT_ANSWER_LOCAL);
		return PASS;
	}
	if (!resolver_entries(head->generation, &f.source)) {
		count(FQDN_COUNT_ANSWER_SERVER);
		return PASS;
	}
	job.s = take_scratch();
	if (!job.s)
		return PASS;
	prepare(&job, head, cgroup, &f);
	count(take_answer(&job, node));
	give_back(job.s);
	start_sweep(node);
	return PASS;
}

/* The only place where `current` is surely the socket's own. */
SEC("cgroup/sock_create")
int fqdn_sock_create(struct bpf_sock *ctx)
{
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock = bpf_sk_storage_get(&sockets, ctx, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!sock)
		return PASS;
	sock->netns = bpf_get_netns_cookie(ctx);
	sock->creator = bpf_get_current_cgroup_id();
	sock->tgid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(sock->comm, sizeof(sock->comm));
	sock->flags |= FQDN_SOCK_CREATED;
	if (node && node->workloads) {
		__u64 epoch = READ_ONCE(node->epoch);

		remember_workload(sock, epoch, bound_ancestor_of_current());
	}
	return PASS;
}

/*
 * Refuses at once what egress would drop in silence. Whose socket it is must be known from its storage: no
 * helper tells a socket's cgroup here (6.1 to 7.x). Unknown = left to egress.
 */
static __always_inline int judge_destination(struct bpf_sock_addr *ctx, const union address *dest, bool connects)
{
	const struct fqdn_image_head *head;
	struct bpf_sock *sk = ctx->sk;
	struct job job = {};
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock;
	struct flow f = {};
	__u64 cgroup = 0;
	int verdict = PASS;
	bool enforced;

	if (!sk)
		return PASS;
	sock = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!sock)
		return PASS;
	sock->flags &= ~FQDN_SOCK_ACCEPTED;
	if (connects && ctx->protocol == PROTO_UDP) {
		/* Sends nothing: getaddrinfo asks the routing table this way. What is sent, egress judges. */
		sock->flags |= FQDN_SOCK_CONNECTED;
		return PASS;
	}
	if (!node || !node->workloads)
		return PASS;
	if (!cached_workload(sock, READ_ONCE(node->epoch), &cgroup) || !cgroup)
		return PASS;
	f.dest = *dest;
	f.source_port = sk->src_port;
	f.dest_port = bpf_ntohs(ctx->user_port);
	f.proto = ctx->protocol;
	if (!f.dest_port || (f.proto != PROTO_TCP && f.proto != PROTO_UDP))
		return PASS;
	if (open_policy(&job, cgroup, &head))
		return PASS; /* egress refuses and counts it */
	enforced = job.binding->flags & FQDN_BINDING_ENFORCED;
	if (!enforced && !(job.binding->flags & FQDN_BINDING_DENIES))
		return PASS;
	if (enforced && is_dns_port(head, f.dest_port))
		return f.proto == PROTO_TCP ? refuse(cgroup, FQDN_COUNT_QUERY_TCP) : PASS;
	if (f.proto == PROTO_UDP && came_in(sock, &f))
		return PASS;
	/* A local destination may be an address of the netns that is not 127.0.0.1; that only egress sees. */
	if (in_own_netns(sock, node) && is_loopback(&f.dest))
		return PASS;
	job.s = take_scratch();
	if (!job.s)
		return PASS;
	prepare(&job, head, cgroup, &f);
	if (enforced ? !may_reach(&job) : is_denied(&job))
		verdict = refuse(cgroup, FQDN_COUNT_CONNECT_REFUSED);
	give_back(job.s);
	return verdict;
}

static __always_inline int judge_v4(struct bpf_sock_addr *ctx, bool connects)
{
	union address dest;

	map_v4(&dest, ctx->user_ip4);
	return judge_destination(ctx, &dest, connects);
}

static __always_inline int judge_v6(struct bpf_sock_addr *ctx, bool connects)
{
	union address dest;

	dest.word[0] = ctx->user_ip6[0];
	dest.word[1] = ctx->user_ip6[1];
	dest.word[2] = ctx->user_ip6[2];
	dest.word[3] = ctx->user_ip6[3];
	return judge_destination(ctx, &dest, connects);
}

SEC("cgroup/connect4")
int fqdn_connect4(struct bpf_sock_addr *ctx)
{
	return judge_v4(ctx, true);
}

SEC("cgroup/connect6")
int fqdn_connect6(struct bpf_sock_addr *ctx)
{
	return judge_v6(ctx, true);
}

SEC("cgroup/sendmsg4")
int fqdn_sendmsg4(struct bpf_sock_addr *ctx)
{
	return judge_v4(ctx, false);
}

SEC("cgroup/sendmsg6")
int fqdn_sendmsg6(struct bpf_sock_addr *ctx)
{
	return judge_v6(ctx, false);
}

/* Marks a connection that came in from outside; its peer's SYN was seen on a device other than loopback. */
SEC("sockops")
int fqdn_sockops(struct bpf_sock_ops *ctx)
{
	struct fqdn_node *node = the_node();
	struct fqdn_inbound_key key = {};
	struct fqdn_sock *sock;
	struct bpf_sock *sk = ctx->sk;
	union address peer;
	__u32 v4;

	if (!sk)
		return 1;
	if (ctx->op == SOCK_OPS_CONNECT || ctx->op == SOCK_OPS_LISTEN) {
		/* Sockets that the kernel makes (MPTCP's) never pass sock_create. */
		sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (sock)
			sock->netns = bpf_get_netns_cookie(ctx);
		return 1;
	}
	if (ctx->op != SOCK_OPS_PASSIVE_ESTABLISHED || !node || !node->workloads)
		return 1;
	if (ctx->family == FAMILY_INET) {
		v4 = ctx->remote_ip4;
		OPAQUE(v4); /* else clang merges the loads: "dereference of modified ctx ptr" */
		map_v4(&peer, v4);
	} else {
		peer.word[0] = ctx->remote_ip6[0];
		peer.word[1] = ctx->remote_ip6[1];
		peer.word[2] = ctx->remote_ip6[2];
		peer.word[3] = ctx->remote_ip6[3];
	}
	inbound_key(&key, bpf_get_netns_cookie(ctx), &peer, bpf_ntohl(ctx->remote_port), ctx->local_port, PROTO_TCP);
	sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!sock)
		return 1;
	sock->netns = key.owner;
	if (!bpf_map_lookup_elem(&inbound, &key))
		return 1;
	bpf_map_delete_elem(&inbound, &key);
	__builtin_memcpy(sock->peer, peer.bytes, 16);
	sock->peer_port = key.port;
	sock->flags |= FQDN_SOCK_ACCEPTED;
	return 1;
}

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
	__u64 cgroup;

	if (leads_round(ctx->level, ctx->optname) && node && node->workloads) {
		cgroup = bound_ancestor_of_current();
		if (cgroup)
			return refuse(cgroup, FQDN_COUNT_OPTION_REFUSED);
	}
	/* 0 = the kernel takes the caller's buffer, which may be longer than the page that we are shown. */
	ctx->optlen = 0;
	return PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
