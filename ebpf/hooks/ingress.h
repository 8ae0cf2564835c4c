/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every packet that a socket receives: answers teach, peers from outside may be answered. */
#ifndef INGRESS_H
#define INGRESS_H

#include "lib/inbound.h"
#include "lib/stream.h"
#include "lib/sweep.h"
#include "lib/verdict.h"

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

/* A segment of a connection to a DNS port. 0 = it came too early. */
static __always_inline int hear_segment(struct segment *segment, const struct flow *f, struct fqdn_node *node)
{
	struct __sk_buff *skb = segment->job.skb;
	const struct fqdn_image_head *head;
	union address asked;
	__u32 skip;

	segment->stream = bpf_map_lookup_elem(&stream_owners, &segment->cookie);
	if (!segment->stream || segment->stream->deaf)
		return PASS;
	if (!is_in_order(segment->stream, f, skb->len - f->payload, &skip)) {
		count(FQDN_COUNT_SEGMENT_LATE);
		return DROP;
	}
	segment->at = f->payload + skip;
	segment->end = skb->len;
	if (segment->at >= segment->end)
		return PASS;
	segment->stream->next += segment->end - segment->at;
	if (segment->stream->deaf || open_policy(&segment->job, segment->stream->cgroup, &head)) {
		segment->stream->deaf = 1;
		return PASS;
	}
	__builtin_memcpy(asked.bytes, segment->stream->asked, 16);
	if (!resolver_entries(head->generation, &asked)) {
		count(FQDN_COUNT_ANSWER_SERVER);
		segment->stream->deaf = 1;
		return PASS;
	}
	segment->job.s = take_scratch();
	if (!segment->job.s) {
		segment->stream->deaf = 1;
		return PASS;
	}
	prepare(&segment->job, head, segment->stream->cgroup, f);
	read_segment(segment);
	give_back(segment->job.s);
	start_sweep(node);
	return PASS;
}

/* Never drops an answer: what is not understood is passed and teaches nothing. */
SEC("cgroup_skb/ingress")
int fqdn_ingress(struct __sk_buff *skb)
{
	const struct fqdn_image_head *head;
	struct segment segment = { .job = { .skb = skb } };
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
		if (sock && (sock->flags & FQDN_SOCK_STREAM) && skb->len > f.payload && skb->ifindex != LOOPBACK_DEVICE) {
			segment.node = node;
			segment.cookie = sock->cookie;
			return hear_segment(&segment, &f, node);
		}
		return PASS;
	}
	if (f.proto != PROTO_UDP || sk->type == TYPE_RAW || open_policy(&segment.job, cgroup, &head))
		return PASS;
	/* Our own answer to a refused query, on its way back from the device. */
	if (node->refuse_mark && (skb->mark & ~REFUSE_BITS) == node->refuse_mark)
		return PASS;
	if (!is_dns_port(head, f.source_port) && !is_translated(head, sock, &f.source, f.source_port)) {
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
	segment.job.s = take_scratch();
	if (!segment.job.s)
		return PASS;
	prepare(&segment.job, head, cgroup, &f);
	if (load_message(&segment.job)) {
		set_asked(segment.job.s, bpf_get_socket_cookie(skb), &f.source, f.source_port);
		count(take_answer(&segment.job, node));
	} else {
		count(FQDN_COUNT_ANSWER_TOO_LONG);
	}
	give_back(segment.job.s);
	start_sweep(node);
	return PASS;
}

#endif
