/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every packet that a socket sends. */
#ifndef EGRESS_H
#define EGRESS_H

#include "lib/device.h"
#include "lib/inbound.h"
#include "lib/neighbour.h"
#include "lib/nexthop.h"
#include "lib/stream.h"
#include "lib/stub.h"
#include "lib/translation.h"

/* include/linux/net.h */
#define TYPE_RAW 3

/* A listening socket speaks only in handshakes; it has no verdict of its own (SYN-ACKs run with it as skb->sk). */
static __always_inline bool is_handshake(struct __sk_buff *skb, const struct flow *f)
{
	bool syn_ack = (f->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == (TCP_FLAG_SYN | TCP_FLAG_ACK);

	return (syn_ack || (f->tcp_flags & TCP_FLAG_RST)) && skb->len <= f->payload;
}

/* The device has our program, which will turn the packet round: plain headers. 0, or why there is no answer. */
static __noinline int await_device(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock)
{
	struct fqdn_device_key key = { .ifindex = skb->ifindex };
	struct fqdn_node *node = the_node();
	struct fqdn_device *device;
	__u64 *refused, one = 1;

	/* Not one that is sent in fragments: each of them would be turned round. 1,280 = the least MTU of IPv6. */
	if (!node || !sock || !sock->netns || f->payload != (is_v4(&f->dest) ? 28 : 48) || skb->len > 1280)
		return FQDN_COUNT_REFUSAL_SILENT;
	key.netns = sock->netns;
	device = bpf_map_lookup_elem(&devices, &key);
	if (device)
		return mark_for(device, node) ? 0 : FQDN_COUNT_REFUSAL_PASSED_BY;
	refused = bpf_map_lookup_elem(&uncovered, &key);
	if (refused)
		__sync_fetch_and_add(refused, 1);
	else
		bpf_map_update_elem(&uncovered, &key, &one, BPF_NOEXIST);
	return FQDN_COUNT_REFUSAL_UNCOVERED;
}

/*
 * A query that is refused: passed under a mark to the device's program, which makes the answer of it. A packet that
 * no such program will meet is dropped here.
 */
static __always_inline int turn_round(struct job *job, const struct fqdn_image_head *head, const struct fqdn_node *node, const struct fqdn_sock *sock)
{
	struct __sk_buff *skb = job->skb;
	__u32 how = refusal_of(head);
	/* Nobody waits for an answer of a server of whom nothing may be asked; a translation would not turn ours back. */
	bool awaited = how && node->refuse_mark && !READ_ONCE(job->s->translated) && is_named_server(job);
	int why = awaited ? await_device(skb, &job->s->flow, sock) : FQDN_COUNT_REFUSAL_SILENT;

	if (why) {
		count(why);
		return DROP;
	}
	skb->mark = node->refuse_mark | how;
	return PASS;
}

/*
 * What audit lets pass was sent all the same: its peer's answer opens nothing, in whatever mode the workload is then.
 */
static __noinline int refuse_sent(__u64 cgroup, __u32 reason, const struct fqdn_sock *sock, const struct flow *f)
{
	int verdict = refuse(cgroup, reason);

	if (verdict == PASS)
		mark_asked(sock, f, cgroup);
	return verdict;
}

/* What is about to be refused may be a reply to a peer that came in on another socket of the port (SO_REUSEPORT). */
static __always_inline bool is_late_reply(struct job *job, const struct fqdn_sock *sock)
{
	if (job->s->flow.proto != PROTO_UDP || !is_reply(&job->s->flow, sock, job->s->cgroup, 0))
		return false;
	count(FQDN_COUNT_ALLOWED_REPLY);
	return true;
}

/* A DNS query over UDP. */
static __always_inline int judge_query(struct job *job, const struct fqdn_image_head *head, struct fqdn_sock *sock, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	__u64 cookie = cookie_of(job->skb, sock);
	int why;

	if (!load_message(job))
		return refuse_sent(s->cgroup, FQDN_COUNT_QUERY_MALFORMED, sock, &s->flow);
	why = judge_message(job);
	s->mute = why;
	if (!why && READ_ONCE(s->other)) {
		count(FQDN_COUNT_QUERY_OTHER);
		return PASS;
	}
	if (!why)
		count(FQDN_COUNT_QUERY_ALLOWED);
	else if (!READ_ONCE(s->raw) && !READ_ONCE(s->translated) && is_late_reply(job, sock))
		return PASS;
	else if (refuse_sent(s->cgroup, why, sock, &s->flow) == DROP)
		return why == FQDN_COUNT_QUERY_REFUSED ? turn_round(job, head, node, sock) : DROP;
	else if (why == FQDN_COUNT_QUERY_MALFORMED)
		return PASS;
	/* A translation turns the answer's source back before it comes to ingress. */
	set_asked(s, cookie, &s->flow.dest, s->flow.dest_port);
	await_answer(s, class_generation(job));
	if (sock && s->busy_socket && !(sock->flags & FQDN_SOCK_BUSY))
		set_flags(sock, FQDN_SOCK_BUSY);
	return PASS;
}

/*
 * Bytes of a connection to a DNS port pass unjudged, in audit mode or where no policy denies. From there on nobody knows where a
 * message begins, and after 2 GB what comes would look like a repetition: under enforcement nothing more passes.
 */
static __always_inline void mark_unjudged(struct __sk_buff *skb, const struct flow *f, struct fqdn_sock *sock)
{
	if (sock && f->proto == PROTO_TCP && (sock->flags & (FQDN_SOCK_STREAM | FQDN_SOCK_UNJUDGED)) == FQDN_SOCK_STREAM && skb->len > f->payload)
		set_flags(sock, FQDN_SOCK_UNJUDGED);
}

static __noinline int refuse_segment(struct segment *segment, __u32 reason)
{
	int verdict = refuse(segment->job.s->cgroup, reason);

	if (verdict == PASS && segment->sock)
		set_flags(segment->sock, FQDN_SOCK_UNJUDGED);
	return verdict;
}

/* Bytes on a connection to a DNS port: they pass up to the first question that may not be asked, and no further. */
static __always_inline int judge_segment(struct segment *segment)
{
	struct job *job = &segment->job;
	struct scratch *s = job->s;
	struct fqdn_stream *stream;

	segment->key.cookie = segment->sock->cookie;
	stream = bpf_map_lookup_elem(&stream_owners, &segment->key.cookie);
	/* An urgent byte is taken out of the stream at the other end, whose framing then is not ours. */
	if (!stream || (s->flow.tcp_flags & TCP_FLAG_URG) || (READ_ONCE(segment->sock->flags) & FQDN_SOCK_UNJUDGED))
		return refuse_segment(segment, FQDN_COUNT_QUERY_TCP);
	segment->stream = stream;
	__builtin_memcpy(&s->half, stream->out, sizeof(s->half));
	switch (open_segment(segment, &s->flow, job->skb->len)) {
	case 0:
		return refuse_segment(segment, FQDN_COUNT_QUERY_TCP);
	case 2:
		return PASS;
	}
	s->half.next += s->segment_end - s->segment_at;
	s->why = 0;
	bpf_loop(SEGMENT_STEPS, question_step, segment, 0);
	if (s->segment_at != s->segment_end)
		return refuse_segment(segment, segment->job.s->why ? segment->job.s->why : FQDN_COUNT_QUERY_MALFORMED);
	__builtin_memcpy(stream->out, &s->half, sizeof(s->half));
	return PASS;
}

/*
 * The packet was sent to a DNS port, and is on its way to another one by a translation. To what is itself a DNS port it was sent as
 * it is.
 */
static __always_inline bool is_renamed(struct __sk_buff *skb, const struct fqdn_image_head *head, const struct flow *f, struct server *asked)
{
	return !is_dns_port(head, f->dest_port) && (f->proto == PROTO_UDP || f->proto == PROTO_TCP) && find_translation(skb, head, f, asked);
}

/* And both ends of the translation are resolvers (bypass row 5). */
static __always_inline bool is_translated(const struct fqdn_image_head *head, const struct flow *f, const struct server *asked)
{
	return resolver_entries(head->generation, &f->dest) && resolver_entries(head->generation, &asked->address);
}

/* From here on the flow is to the server that was asked. 0 = where the translation leads to is denied. */
static __noinline int follow_translation(struct job *job, const struct server *asked)
{
	struct scratch *s = job->s;

	if (!s->translated)
		return 1;
	if (is_denied(job))
		return 0;
	s->flow.dest = asked->address;
	s->flow.dest_port = asked->port;
	return 1;
}

/* TCP to a DNS port: the handshake to a server of whom something may be asked; bytes only as questions. */
static __always_inline int judge_stream_packet(struct segment *segment)
{
	struct fqdn_sock *sock = segment->sock;
	struct job *job = &segment->job;
	struct scratch *s = job->s;
	bool covered = sock && (sock->flags & FQDN_SOCK_STREAM);

	if (job->skb->len > s->flow.payload)
		return covered ? judge_segment(segment) : refuse(s->cgroup, FQDN_COUNT_QUERY_TCP);
	if (!covered && !is_named_server(job))
		return refuse(s->cgroup, FQDN_COUNT_QUERY_TCP);
	count(FQDN_COUNT_ALLOWED);
	return PASS;
}

/* `sock` = where to remember an allowed flow, or none; what `poses` as a DNS server by its port is not remembered. */
static __always_inline int judge_packet(struct job *job, struct bpf_sock *sk, struct fqdn_sock *sock, __u64 epoch)
{
	struct scratch *s = job->s;

	bool reached = may_reach(job);

	if (!reached && !(sock && may_stay(job, sk, sock)))
		return is_late_reply(job, sock) ? PASS : refuse_sent(s->cgroup, FQDN_COUNT_ADDRESS_REFUSED, sock, &s->flow);
	mark_asked(sock, &s->flow, s->cgroup);
	if (sock && !READ_ONCE(s->poses)) {
		if (reached && may_outlive(s, sock))
			keep_socket_name(job, sk, sock);
		/* Judged again, and marked, before the filter can have forgotten to whom the workload spoke. */
		if (s->flow.proto == PROTO_UDP && (!s->expiry || s->expiry > s->now + MARKED_AGAIN))
			s->expiry = s->now + MARKED_AGAIN;
		/* Looked for again soon: its address is in use, and does not give way. */
		if (s->flow.proto == PROTO_UDP && (!reached || s->reached_name) && s->expiry > s->now + IN_USE / 2)
			s->expiry = s->now + IN_USE / 2;
		/* An established TCP connection outlives the address's time; a new one begins with a SYN and is judged. */
		remember_allow(sock, &s->flow, s->cgroup, s->generation, job->binding->version, epoch, s->flow.proto == PROTO_TCP ? 0 : s->expiry);
	}
	count(FQDN_COUNT_ALLOWED);
	return PASS;
}

/*
 * A resolver that nobody bound answers over loopback of a namespace of its own, as Docker's engine does in a container's
 * (bypass row 47): ingress sees by the mark that it was no workload. Over loopback no packet bears its sender.
 */
static __noinline int vouch(struct __sk_buff *skb, const struct fqdn_sock *sock, const struct fqdn_node *node)
{
	const struct fqdn_image_head *head;
	struct job job = {};
	struct flow f;

	if (!node || !node->vouch_mark || !in_own_netns(sock, node) || read_flow(skb, &f) || f.proto != PROTO_UDP || open_head(&job, &head) ||
	    !is_dns_port(head, f.source_port) || !resolver_entries(head->generation, &f.source))
		return 0;
	skb->mark = node->vouch_mark;
	return 1;
}

/* A workload that was bound as a resolver says what a resolver says: answers, from its own address and DNS port. */
static __noinline int may_serve(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock, __u64 cgroup)
{
	const struct fqdn_workload *workload = bpf_map_lookup_elem(&workloads, &cgroup);
	__u8 flags;

	/* To who came in; over loopback nobody is written down. */
	if (!workload || !(workload->flags & FQDN_WORKLOAD_SERVES) || (skb->ifindex != LOOPBACK_DEVICE && !is_reply(f, sock, cgroup, 0)))
		return 0;
	if (f->proto == PROTO_TCP)
		return !opens_connection(f);
	return f->proto == PROTO_UDP && !bpf_skb_load_bytes(skb, f->payload + 2, &flags, 1) && (flags & DNS_FLAG_QR);
}

SEC("cgroup_skb/egress")
int fqdn_egress(struct __sk_buff *skb)
{
	const struct fqdn_image_head *head;
	struct segment segment = { .job = { .skb = skb } };
	struct job *job = &segment.job;
	struct fqdn_node *node = the_node();
	struct fqdn_sock *sock;
	struct bpf_sock *sk = skb->sk;
	struct allowed allowed;
	bool forged = false, raw, enforced, renamed, translated, dns, poses;
	struct server asked = {};
	struct flow f;
	__u64 cgroup, epoch;
	int verdict, why;

	if (!node || !node->workloads || !sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return PASS; /* this hook runs for full sockets only (BPF_CGROUP_RUN_PROG_INET_EGRESS) */
	sock = storage_of(skb, sk);
	epoch = READ_ONCE(node->epoch);
	cgroup = workload_of(skb, sock, epoch);
	if (!cgroup) {
		if (skb->ifindex == LOOPBACK_DEVICE)
			vouch(skb, sock, node);
		return PASS;
	}
	raw = sk->type == TYPE_RAW;
	/* These marks are ours to set. */
	if (node->refuse_mark && ((skb->mark & ~REFUSE_BITS) == node->refuse_mark || skb->mark == node->vouch_mark)) {
		count(FQDN_COUNT_FORGED_ANSWER);
		return DROP;
	}

	why = read_flow(skb, &f);
	if (why) { /* in audit mode too: what cannot be read may pose as a resolver */
		count(why);
		return DROP;
	}
	why = open_head(job, &head);
	if (why)
		return refuse(cgroup, why);
	if (!raw && !opens_connection(&f) && sock && cached_flow(sock, &f, cgroup, head->generation, &allowed)) {
		/* A connection lives on when some other workload is bound: then the epoch is another, the binding is not. */
		if (allowed.epoch == epoch)
			return PASS;
		if (!open_binding(job, cgroup, head) && allowed.version == job->binding->version)
			return PASS;
	}
	/* Before everything else that passes, and in audit mode too: what poses as a resolver teaches others. */
	poses = is_dns_port(head, f.source_port);
	/* A raw socket names its source itself: one that some translation on the way turns into a resolver's, too. */
	if ((poses && raw) || ((poses || raw) && resolver_entries(head->generation, &f.source))) {
		if (!raw && may_serve(skb, &f, sock, cgroup)) {
			count(FQDN_COUNT_ALLOWED_SERVER);
			return PASS;
		}
		count(FQDN_COUNT_FORGED_ANSWER);
		return DROP;
	}
	why = open_binding(job, cgroup, head);
	if (why)
		return refuse_sent(cgroup, why, sock, &f);
	enforced = job->binding->flags & FQDN_BINDING_ENFORCED;
	if (!enforced && !(job->binding->flags & FQDN_BINDING_DENIES)) {
		count(FQDN_COUNT_ALLOWED_UNENFORCED);
		mark_asked(sock, &f, cgroup);
		mark_unjudged(skb, &f, sock);
		return PASS;
	}

	renamed = !raw && is_renamed(skb, head, &f, &asked);
	translated = renamed && is_translated(head, &f, &asked);
	dns = translated || is_dns_port(head, f.dest_port) || (sock && f.proto == PROTO_TCP && (sock->flags & FQDN_SOCK_STREAM));
	/* Whose peer it would make somebody, or whom it would answer, it says itself (bypass row 57). */
	if (enforced && raw && (f.proto == PROTO_UDP || f.proto == PROTO_TCP))
		return refuse(cgroup, FQDN_COUNT_RAW_TRANSPORT);
	/*
	 * A stub of the workload's own is its own business; a resolver's address is like any other, on every port: behind the one
	 * that is translated to the engine listens on another (bypass row 47).
	 */
	if (skb->ifindex == LOOPBACK_DEVICE && in_own_netns(sock, node) && (!raw || is_own_echo(&f)) && !resolver_entries(head->generation, &f.dest) &&
	    !((dns || renamed || is_odd_loopback(&f.dest)) && is_strangers(skb, &f))) {
		count(FQDN_COUNT_ALLOWED_LOCAL);
		return PASS;
	}
	if (is_neighbour_message(skb, &f, sock, &forged)) {
		count(FQDN_COUNT_ALLOWED_NEIGHBOUR);
		return PASS;
	}
	if (forged && enforced)
		return refuse(cgroup, FQDN_COUNT_NEIGHBOUR_FORGED); /* no datagram */
	if (f.proto == PROTO_TCP && sk->state == STATE_LISTEN) {
		if (!is_handshake(skb, &f))
			return refuse(cgroup, FQDN_COUNT_LISTENER_DATA);
		count(FQDN_COUNT_ALLOWED_REPLY);
		return PASS;
	}
	/* A raw socket hears what others were sent: peers of others are none of its own. */
	if (!raw && is_reply(&f, sock, cgroup, FQDN_SOCK_HEARD)) {
		count(FQDN_COUNT_ALLOWED_REPLY);
		return PASS;
	}
	/* Several datagrams, or pages that the sender may still write to (sendfile, MSG_ZEROCOPY). */
	if (enforced && (dns || raw) && goes_astray(skb, &f, raw)) {
		verdict = refuse_sent(cgroup, FQDN_COUNT_ROUTE_FORCED, sock, &f);
		if (verdict == PASS)
			mark_unjudged(skb, &f, sock);
		return verdict;
	}
	if (enforced && dns && f.proto == PROTO_UDP && (skb->gso_segs > 1 || skb->data_end - skb->data < skb->len))
		return refuse_sent(cgroup, FQDN_COUNT_QUERY_SEGMENTED, sock, &f);

	why = begin(job, head, cgroup, sock, &f);
	if (why)
		return refuse_sent(cgroup, why, sock, &f);
	job->s->raw = raw;
	job->s->poses = poses;
	job->s->translated = translated;
	if (!follow_translation(job, &asked)) {
		verdict = refuse_sent(cgroup, FQDN_COUNT_ADDRESS_REFUSED, sock, &f);
	} else if (!enforced) {
		verdict = is_denied(job) ? refuse(cgroup, FQDN_COUNT_ADDRESS_REFUSED) : PASS;
		mark_asked(sock, &f, cgroup);
		mark_unjudged(skb, &f, sock);
	} else if (!dns) {
		verdict = judge_packet(job, sk, raw ? NULL : sock, epoch);
	} else if (f.proto == PROTO_UDP) {
		verdict = judge_query(job, head, sock, node);
	} else if (f.proto == PROTO_TCP) {
		segment.node = node;
		segment.sock = raw ? NULL : sock;
		verdict = judge_stream_packet(&segment);
	} else {
		verdict = refuse(cgroup, FQDN_COUNT_QUERY_MALFORMED);
	}
	give_back(job->s);
	return verdict;
}

#endif
