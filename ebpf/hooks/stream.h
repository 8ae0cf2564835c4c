/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* DNS queries over TCP: each is met whole, however it is cut, before a byte of it is queued (RFC 7766 section 8). */
#ifndef STREAM_H
#define STREAM_H

#include "lib/stream.h"
#include "lib/verdict.h"

/* include/uapi/linux/bpf.h, enum sk_action */
#define SK_DROP 0
#define SK_PASS 1
/* Most messages and bytes of one send. */
#define SEND_MESSAGES 32
#define SEND_MAX 32768

/* What judging a send carries from message to message. */
struct send {
	struct job job;
	const struct fqdn_stream *stream;
	struct fqdn_sock *sock;
	const struct fqdn_node *node;
	void *data;
	__u64 cookie;
	__u32 size;   /* of the send */
	__u32 at;     /* judged up to here, and fine */
	__u32 wanted; /* the message at `at` ends here; 0 = it is all there */
	__u32 why;    /* why the message at `at` is refused */
	__u32 length; /* of the message at `at` */
	__u32 allowed;
};

static long send_step(__u32 i, struct send *send)
{
	struct job *job = &send->job;
	struct scratch *s = job->s;
	__u32 at = send->at, left = send->size - at, length;
	__u8 bytes[FRAME];

	if (!left)
		return 1;
	if (left < FRAME) {
		send->wanted = at + FRAME;
		return 1;
	}
	at &= FQDN_MESSAGE_MAX - 1;
	send->why = FQDN_COUNT_QUERY_MALFORMED;
	if (bpf_probe_read_kernel(bytes, FRAME, send->data + at))
		return 1;
	length = bytes[0] << 8 | bytes[1];
	send->length = length;
	if (length < DNS_HEADER || length > FQDN_QUERY_MAX)
		return 1;
	if (left < FRAME + length) {
		send->wanted = at + FRAME + length;
		send->why = 0;
		return 1;
	}
	s->length = length;
	OPAQUE(length);
	length &= 0x1fff; /* as in bring_together */
	OPAQUE(length);
	if (length > FQDN_QUERY_MAX || length < DNS_HEADER || bpf_probe_read_kernel(s->message, length, send->data + at + FRAME))
		return 1;
	__builtin_memcpy(s->flow.dest.bytes, send->stream->asked, 16);
	s->flow.dest_port = send->stream->asked_port;
	send->why = judge_message(job);
	if (send->why == FQDN_COUNT_QUERY_REFUSED && is_audited(send->stream->cgroup)) {
		count(send->why);
		count(FQDN_COUNT_ALLOWED_AUDIT);
		send->why = 0;
	}
	if (send->why)
		return 1;
	set_asked(s, send->cookie, &s->flow.dest, s->flow.dest_port);
	await_answer(job, send->sock, send->node);
	send->at = at + FRAME + s->length;
	send->allowed++;
	return 0;
}

/*
 * Until the message is whole ("cork"). SK_DROP at that: where the kernel has no room to hold it, what is returned here
 * counts (tcp_bpf_send_verdict, net/ipv4/tcp_bpf.c).
 */
static __always_inline int hold_back(struct sk_msg_md *msg, __u32 bytes)
{
	bpf_msg_apply_bytes(msg, 0);
	bpf_msg_cork_bytes(msg, bytes);
	return SK_DROP;
}

/*
 * INVARIANT: egress lets bytes pass up to `judged`, and everything in the send queue up to there has been here. A call
 * of send that was under way when the connection was covered (TCP Fast Open without a cookie) queues its bytes by
 * another way: then the queue is longer than what was judged, and nothing more may pass.
 */
static __always_inline bool all_was_judged(struct bpf_sock *sk, struct fqdn_sock *sock)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	if (tcp && (sock->flags & FQDN_SOCK_STREAM) && tcp->write_seq == sock->judged)
		return true;
	sock->flags &= ~FQDN_SOCK_STREAM;
	count(FQDN_COUNT_STREAM_UNCOVERED);
	return false;
}

/* So many first bytes of the send. */
static __always_inline int let_pass(struct sk_msg_md *msg, struct fqdn_sock *sock, __u32 bytes)
{
	sock->judged += bytes;
	bpf_msg_apply_bytes(msg, bytes);
	bpf_msg_cork_bytes(msg, 0); /* what was asked for before still stands */
	return SK_PASS;
}

/* Makes the query in the message its own answer and sends it back to where it came from. */
static __always_inline int answer_refused(struct sk_msg_md *msg, __u64 cookie, __u32 how)
{
	__u8 *data = (void *)(long)msg->data;

	if ((void *)data + FRAME + DNS_HEADER > (void *)(long)msg->data_end)
		return SK_DROP;
	bpf_msg_cork_bytes(msg, 0);
	bpf_msg_apply_bytes(msg, 0);
	data[FRAME + 2] = DNS_FLAG_QR | (data[FRAME + 2] & DNS_FLAG_RD);
	data[FRAME + 3] = DNS_FLAG_RA | (data[FRAME + 3] & DNS_FLAG_CD) | refusal_code(how);
	return bpf_msg_redirect_hash(msg, &streams, &cookie, BPF_F_INGRESS);
}

/* What becomes of the send, once its messages have been looked at. */
static __always_inline int settle_send(struct sk_msg_md *msg, struct send *send, const struct fqdn_image_head *head)
{
	__u64 cgroup = send->stream->cgroup;

	/* Never after a part of this send has passed: the kernel would put what comes next in the wrong place. */
	if (send->wanted)
		return hold_back(msg, send->wanted);
	for (int i = 0; i < SEND_MESSAGES; i++)
		if (i < send->allowed)
			count(FQDN_COUNT_QUERY_ALLOWED);
	if (!send->why)
		return send->at == send->size ? let_pass(msg, send->sock, send->size) : SK_DROP;
	if (send->at)
		return let_pass(msg, send->sock, send->at);
	if (refuse(cgroup, send->why) == PASS)
		return let_pass(msg, send->sock, send->size);
	if (send->why != FQDN_COUNT_QUERY_REFUSED || !refusal_of(head)) {
		count(FQDN_COUNT_REFUSAL_SILENT);
		return SK_DROP;
	}
	/* The redirection would hold for all that is left of this send (`sk_redir` of struct sk_msg). */
	if (send->size != FRAME + send->length) {
		count(FQDN_COUNT_QUERY_PIPELINED);
		return SK_DROP;
	}
	count(FQDN_COUNT_REFUSAL_ANSWERED);
	return answer_refused(msg, send->cookie, refusal_of(head));
}

/*
 * Queries, before a byte of them is queued: a send passes when it consists of whole messages. What passes at once is
 * as many as may be asked; the first that may not is then met again, at the head of what is left.
 */
SEC("sk_msg")
int fqdn_stream_query(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	const struct fqdn_image_head *head;
	struct flow f = { .proto = PROTO_TCP };
	struct send send = { .node = the_node() };
	int why;

	if (!sk || !send.node)
		return SK_DROP;
	send.sock = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!send.sock)
		return SK_DROP;
	send.cookie = send.sock->cookie;
	send.stream = bpf_map_lookup_elem(&stream_owners, &send.cookie);
	if (!send.stream)
		return SK_DROP;
	if (!all_was_judged(sk, send.sock))
		return SK_DROP;
	why = open_policy(&send.job, send.stream->cgroup, &head);
	if (why)
		return refuse(send.stream->cgroup, why) == PASS ? let_pass(msg, send.sock, msg->size) : SK_DROP;
	send.size = msg->size;
	if (!(send.job.binding->flags & FQDN_BINDING_ENFORCED))
		return let_pass(msg, send.sock, send.size);
	if (!send.size || send.size >= SEND_MAX || bpf_msg_pull_data(msg, 0, send.size, 0)) {
		count(FQDN_COUNT_QUERY_MALFORMED);
		return SK_DROP;
	}
	send.data = (void *)(long)msg->data;
	send.job.s = take_scratch();
	if (!send.job.s)
		return SK_DROP;
	prepare(&send.job, head, send.stream->cgroup, &f);
	bpf_loop(SEND_MESSAGES, send_step, &send, 0);
	give_back(send.job.s);
	return settle_send(msg, &send, head);
}

#endif
