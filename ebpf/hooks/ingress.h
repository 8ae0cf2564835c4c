/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every packet that a socket receives: answers teach, peers from outside may be answered. */
#ifndef INGRESS_H
#define INGRESS_H

#include "lib/inbound.h"
#include "lib/stream.h"
#include "lib/sweep.h"
#include "lib/verdict.h"

/*
 * A peer from outside that we have not spoken to: its packet opens the way back. On a connected datagram socket it only keeps
 * open what it opened before (DTLS, QUIC: a server connects a socket to each peer).
 */
static __noinline void note_inbound(struct __sk_buff *skb, const struct flow *f, struct fqdn_sock *sock, __u64 cgroup, __u32 state)
{
	struct fqdn_node *node = the_node();
	struct fqdn_peers *own;

	if (skb->ifindex == LOOPBACK_DEVICE || is_loopback(&f->source) || !node || !sock || !sock->netns)
		return;
	hear_flow(sock, f);
	if (spoke_first(cgroup, &f->source, f->source_port, sock->netns))
		return;
	own = bpf_map_lookup_elem(&peers, &cgroup);
	if (own)
		hear_peer(own, inbound_hash(node, &f->source, f->source_port, f->dest_port, sock->netns), state != STATE_ESTABLISHED);
}

/*
 * An answer over loopback teaches where the resolver is a neighbour on the host, by an address of its own; in another namespace
 * only what no workload said, where a packet socket of a workload cannot say it either. Never who serves himself.
 */
static __noinline int came_from_afar(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock, __u64 cgroup)
{
	struct fqdn_device_key key = { .ifindex = LOOPBACK_DEVICE };
	const struct fqdn_workload *workload;
	const struct fqdn_node *node = the_node();

	if (skb->ifindex != LOOPBACK_DEVICE)
		return 1;
	workload = bpf_map_lookup_elem(&workloads, &cgroup);
	if (!node || !sock || !sock->netns || !workload || (workload->flags & FQDN_WORKLOAD_SERVES))
		return 0;
	if (sock->netns == node->host_netns)
		return is_loopback(&f->source) || bpf_map_lookup_elem(&locals, &f->source) != NULL;
	key.netns = sock->netns;
	return f->proto == PROTO_UDP && node->vouch_mark && skb->mark == node->vouch_mark && bpf_map_lookup_elem(&devices, &key) != NULL;
}

/*
 * TCP may well take it: it acknowledges about what was sent, and is no reset (RFC 9293 section 3.10.7.4). About: this hook
 * runs without the socket's lock, and an answer may be here before the sender's CPU has written down what it sent.
 */
static __always_inline bool is_plausible(struct bpf_sock *sk, const struct flow *f)
{
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

	return tcp && (f->tcp_flags & (TCP_FLAG_ACK | TCP_FLAG_SYN | TCP_FLAG_RST)) == TCP_FLAG_ACK &&
	       (__s32)(f->ack - tcp->snd_nxt) < MOST_AHEAD && (__s32)(tcp->snd_una - f->ack) < MOST_AHEAD;
}

static __always_inline void hear_in_order(struct segment *segment)
{
	struct scratch *s = segment->job.s;

	s->half.next += s->segment_end - s->segment_at;
	set_asked(s, segment->key.cookie, (const union address *)segment->stream->server, segment->stream->port);
	bpf_loop(SEGMENT_STEPS, answer_step, segment, 0);
	if (s->segment_at != s->segment_end)
		s->half.lost = DEAF;
}

/* A segment of a connection to a DNS port. 0 = it came before the one that it follows. */
static __always_inline int hear_segment(struct segment *segment, struct bpf_sock *sk, __u64 cgroup, const struct flow *f)
{
	const struct fqdn_image_head *head;
	struct fqdn_stream *stream;
	int verdict = PASS;

	segment->key.back = 1;
	stream = bpf_map_lookup_elem(&stream_owners, &segment->key.cookie);
	if (!stream || stream->cookie != segment->key.cookie || stream->back[3] == DEAF || !is_plausible(sk, f) || open_policy(&segment->job, cgroup, &head))
		return PASS;
	/* This hook runs without the socket's lock. Who comes while another CPU reads comes again. */
	if (__sync_val_compare_and_swap(&stream->busy, 0, 1)) {
		count(FQDN_COUNT_SEGMENT_LATE);
		return DROP;
	}
	if (begin(&segment->job, head, cgroup, segment->sock, f)) {
		__sync_lock_test_and_set(&stream->busy, 0);
		count(FQDN_COUNT_SCRATCH_BUSY);
		return DROP;
	}
	segment->stream = stream;
	__builtin_memcpy(&segment->job.s->half, stream->back, sizeof(struct fqdn_half));
	switch (open_segment(segment, f, segment->job.skb->len)) {
	case 0:
		count(FQDN_COUNT_SEGMENT_LATE);
		verdict = DROP;
		break;
	case 1:
		hear_in_order(segment);
		/* The connection may have ended meanwhile, and its element may be another's. */
		if (READ_ONCE(stream->cookie) != segment->key.cookie)
			break;
		__builtin_memcpy(stream->back, &segment->job.s->half, sizeof(struct fqdn_half));
	}
	__sync_lock_test_and_set(&stream->busy, 0);
	give_back(segment->job.s);
	return verdict;
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
	int verdict, why;
	struct flow f;

	if (!node || !node->workloads || !sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return PASS;
	sock = storage_of(skb, sk);
	cgroup = workload_of(skb, sock, READ_ONCE(node->epoch));
	if (!cgroup || read_flow(skb, &f))
		return PASS;
	/* Turned round by the device's program: it says no, and teaches nothing. */
	if (node->refuse_mark && (skb->mark & ~REFUSE_BITS) == node->refuse_mark)
		return PASS;
	if (f.proto == PROTO_TCP) {
		if (!sock || !(sock->flags & FQDN_SOCK_STREAM) || skb->len <= f.payload || !came_from_afar(skb, &f, sock, cgroup))
			return PASS;
		segment.node = node;
		segment.sock = sock;
		segment.key.cookie = sock->cookie;
		verdict = hear_segment(&segment, sk, cgroup, &f);
		start_sweep(node);
		return verdict;
	}
	if (f.proto != PROTO_UDP || sk->type == TYPE_RAW || open_policy(&segment.job, cgroup, &head))
		return PASS;
	if (!is_dns_port(head, f.source_port)) {
		if (sock) {
			note_inbound(skb, &f, sock, cgroup, sk->state);
			if (!(sock->flags & FQDN_SOCK_HEARD))
				set_flags(sock, FQDN_SOCK_HEARD);
		}
		return PASS;
	}
	if (!came_from_afar(skb, &f, sock, cgroup)) {
		count(FQDN_COUNT_ANSWER_LOCAL);
		return PASS;
	}
	why = begin(&segment.job, head, cgroup, sock, &f);
	if (why) {
		count(why);
		return PASS;
	}
	if (load_message(&segment.job)) {
		set_asked(segment.job.s, cookie_of(skb, sock), &f.source, f.source_port);
		count(take_answer(&segment.job, node));
	} else {
		count(FQDN_COUNT_ANSWER_TOO_LONG);
	}
	give_back(segment.job.s);
	start_sweep(node);
	return PASS;
}

#endif
