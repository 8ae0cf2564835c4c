/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* TCP connections as they begin and end. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "lib/inbound.h"
#include "lib/stream.h"

/* include/uapi/linux/bpf.h */
#define SOCK_OPS_CONNECT 3
#define SOCK_OPS_ACTIVE_ESTABLISHED 4
#define SOCK_OPS_PASSIVE_ESTABLISHED 5
#define SOCK_OPS_STATE 10
#define SOCK_OPS_LISTEN 11
#define SOCK_OPS_STATE_FLAG 4

static __always_inline void read_remote(struct bpf_sock_ops *ctx, union address *peer)
{
	if (ctx->family == FAMILY_INET) {
		__u32 v4 = ctx->remote_ip4;

		OPAQUE(v4); /* else clang merges the loads: "dereference of modified ctx ptr" */
		map_v4(peer, v4);
	} else {
		peer->word[0] = ctx->remote_ip6[0];
		peer->word[1] = ctx->remote_ip6[1];
		peer->word[2] = ctx->remote_ip6[2];
		peer->word[3] = ctx->remote_ip6[3];
	}
}

/* The device that the packet at hand came in by; 0 = none, or not known. */
static __always_inline __s32 device_behind(struct bpf_sock_ops *ctx)
{
	const struct bpf_sock_ops_kern *op = (void *)ctx;
	struct sk_buff *packet;
	__s32 device;

	if (READ_KERNEL(packet, op->skb) || !packet || READ_KERNEL(device, packet->skb_iif))
		return 0;
	return device;
}

/*
 * A connection that came in from outside: the packet that completes the handshake came by a device other than loopback. Kept with the socket, where no other peer can crowd it out (bypass row 43).
 */
static __always_inline void mark_accepted(struct bpf_sock_ops *ctx, struct fqdn_sock *sock)
{
	__s32 device = device_behind(ctx);
	union address peer;

	read_remote(ctx, &peer);
	/* One that connects itself may end here too, by a simultaneous open (RFC 9293 section 3.5). */
	if (!device || device == LOOPBACK_DEVICE || is_loopback(&peer) || !sock->netns || (sock->flags & (FQDN_SOCK_CREATED | FQDN_SOCK_CONNECTED)))
		return;
	__builtin_memcpy(sock->peer, peer.bytes, 16);
	sock->peer_port = bpf_ntohl(ctx->remote_port);
	set_flags(sock, FQDN_SOCK_ACCEPTED);
}

/*
 * A workload's connection to a DNS port: from here on its bytes are counted and judged, both ways. What a SYN carries
 * (TCP Fast Open) egress has dropped; sent again, it is the first that is judged.
 */
static __always_inline void begin_stream(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct fqdn_sock *sock)
{
	const struct fqdn_image_head *head;
	struct fqdn_stream stream = {};
	struct fqdn_usage *share;
	struct tcp_sock *tcp;
	struct job job = {};
	union address server;

	stream.cgroup = READ_ONCE(sock->workload); /* by the SYN that egress judged */
	if (!stream.cgroup || open_policy(&job, stream.cgroup, &head))
		return;
	read_remote(ctx, &server);
	stream.port = bpf_ntohl(ctx->remote_port);
	if (!is_dns_port(head, stream.port)) /* as the socket knows it: before any translation by netfilter */
		return;
	__builtin_memcpy(stream.server, server.bytes, 16);
	/* From behind the SYN: what that carried where it was not judged (audit mode) is a gap, and nothing passes behind it. */
	stream.out[0] = ctx->snd_una - (ctx->bytes_acked > 1 ? (__u32)ctx->bytes_acked - 1 : 0);
	stream.back[0] = ctx->rcv_nxt;
	share = usage_of_workload(stream.cgroup);
	if (!share || !take_share(&share->streams, FQDN_STREAMS_QUOTA)) {
		count(FQDN_COUNT_STREAMS_FULL);
		return;
	}
	sock->cookie = bpf_get_socket_cookie(ctx);
	stream.cookie = sock->cookie;
	if (bpf_map_update_elem(&stream_owners, &sock->cookie, &stream, BPF_NOEXIST)) {
		give_share(&share->streams);
		count(FQDN_COUNT_STREAMS_FULL);
		return;
	}
	bpf_sock_ops_cb_flags_set(ctx, SOCK_OPS_STATE_FLAG); /* so that its end is told */
	clear_flags(sock, FQDN_SOCK_UNJUDGED);
	set_flags(sock, FQDN_SOCK_STREAM);
	/* Where a query may be refused, the program of `streams` answers it before it is sent. */
	if (!(job.binding->flags & FQDN_BINDING_ENFORCED))
		return;
	/* A subflow of MPTCP is the kernel's: in a map of sockets it lost its own ways before that was forbidden (Linux 6.18). */
	tcp = sock->flags & FQDN_SOCK_CREATED ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (tcp)
		sock->queued = tcp->write_seq;
	if (!tcp || bpf_sock_hash_update(ctx, &streams, &sock->cookie, BPF_ANY))
		count(FQDN_COUNT_STREAM_UNCOVERED);
}

static __always_inline void end_stream(struct fqdn_sock *sock)
{
	__u64 cookie = sock->cookie;
	struct fqdn_stream *stream = cookie ? bpf_map_lookup_elem(&stream_owners, &cookie) : NULL;
	struct fqdn_partial_key key = {};
	struct fqdn_usage *share;
	__u64 cgroup;

	clear_flags(sock, FQDN_SOCK_STREAM);
	sock->cookie = 0;
	if (!stream)
		return;
	cgroup = stream->cgroup;
	if (bpf_map_delete_elem(&stream_owners, &cookie))
		return;
	key.cookie = cookie;
	forget_partial(cgroup, &key);
	key.back = 1;
	forget_partial(cgroup, &key);
	share = bpf_map_lookup_elem(&usage, &cgroup);
	if (share)
		give_share(&share->streams);
}

SEC("sockops")
int fqdn_sockops(struct bpf_sock_ops *ctx)
{
	struct fqdn_node *node = the_node();
	struct bpf_sock *sk = ctx->sk;
	struct fqdn_sock *sock;

	if (!sk)
		return 1;
	switch (ctx->op) {
	case SOCK_OPS_CONNECT:
	case SOCK_OPS_LISTEN:
	case SOCK_OPS_PASSIVE_ESTABLISHED:
	case SOCK_OPS_ACTIVE_ESTABLISHED:
	case SOCK_OPS_STATE:
		break;
	default:
		return 1;
	}
	/* Sockets that the kernel makes (MPTCP's, accepted ones) never pass sock_create. */
	sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!sock)
		return 1;
	if (ctx->op == SOCK_OPS_STATE) {
		if (ctx->args[1] == STATE_CLOSE)
			end_stream(sock);
		return 1;
	}
	sock->netns = bpf_get_netns_cookie(ctx);
	if (ctx->op == SOCK_OPS_CONNECT)
		set_flags(sock, FQDN_SOCK_CONNECTED);
	if (!node || !node->workloads)
		return 1;
	if (ctx->op == SOCK_OPS_PASSIVE_ESTABLISHED)
		mark_accepted(ctx, sock);
	if (ctx->op == SOCK_OPS_ACTIVE_ESTABLISHED)
		begin_stream(ctx, sk, sock);
	return 1;
}

#endif
