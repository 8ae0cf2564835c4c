/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* DNS queries over TCP as they are sent, so that one that is refused is answered at once. */
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
};

static long send_step(__u32 i, struct send *send)
{
	struct job *job = &send->job;
	struct scratch *s = job->s;
	__u32 at = s->send.at, left = s->send.size - at, length;
	__u8 bytes[FRAME];

	if (!left)
		return 1;
	if (left < FRAME) {
		s->send.wanted = at + FRAME;
		return 1;
	}
	at &= FQDN_MESSAGE_MAX - 1;
	s->send.why = FQDN_COUNT_QUERY_MALFORMED;
	if (bpf_probe_read_kernel(bytes, FRAME, send->data + at))
		return 1;
	length = bytes[0] << 8 | bytes[1];
	s->send.length = length;
	if (length < DNS_HEADER || length > FQDN_QUERY_MAX)
		return 1;
	if (left < FRAME + length) {
		s->send.wanted = at + FRAME + length;
		s->send.why = 0;
		return 1;
	}
	s->length = length;
	OPAQUE(length);
	length &= 0x1fff; /* as in bring_together */
	OPAQUE(length);
	if (length > FQDN_QUERY_MAX || length < DNS_HEADER || bpf_probe_read_kernel(s->message, length, send->data + at + FRAME))
		return 1;
	__builtin_memcpy(s->flow.dest.bytes, send->stream->server, 16);
	s->flow.dest_port = send->stream->port;
	s->send.why = judge_message(job);
	if (s->send.why)
		return 1;
	s->send.at = at + FRAME + s->length;
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
 * The bytes in the send queue are those that have been here. They are not after a send that was queued in part: the
 * kernel then takes our last word for what comes next (`eval` of struct sk_psock). Egress has the last word in any case.
 */
static __always_inline bool is_in_step(struct bpf_sock *sk, const struct fqdn_sock *sock)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp && tcp->write_seq == sock->queued;
}

/* So many first bytes of the send; 0 = all. */
static __always_inline int let_pass(struct sk_msg_md *msg, struct fqdn_sock *sock, __u32 bytes)
{
	sock->queued += bytes ? bytes : msg->size;
	bpf_msg_apply_bytes(msg, bytes);
	bpf_msg_cork_bytes(msg, 0); /* what was asked for before still stands */
	return SK_PASS;
}

/* Most answers of ours, and bytes of them, that may lie unread on a socket: the kernel sets no bound to a redirection. */
#define UNREAD_ANSWERS 16
#define UNREAD_BYTES 16384
/* SK_USER_DATA_PTRMASK, include/net/sock.h */
#define USER_DATA_FLAGS 7UL

/* BPF_FIELD_BYTE_OFFSET of libbpf: where the field lies in the running kernel. */
#define FIELD_OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)

/* 1 = what was answered before is being read. `user_data` of a socket in `streams` is its struct sk_psock. */
APART int reads_answers(__u64 user_data)
{
	const struct sk_psock *psock = (void *)(user_data & ~USER_DATA_FLAGS);
	const struct list_head *first = &psock->ingress_msg, *at = NULL;
	__u32 bytes = 0, size = 0;

	if (!psock || READ_KERNEL(at, first->next))
		return 0;
	/* Another CPU may be taking from the list: then what is read is wrong, and no harm. */
	ROLLED for (__u32 n = 0; n < UNREAD_ANSWERS; n++) {
		const struct sk_msg *msg = (void *)at - FIELD_OFFSET(struct sk_msg, list);

		if (at == first)
			return bytes < UNREAD_BYTES;
		if (READ_KERNEL(size, msg->sg.size) || READ_KERNEL(at, at->next))
			return 0;
		bytes += size;
	}
	return 0;
}

static __always_inline bool has_room_for_answer(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	__u64 user_data = 0;

	/* A copy, because the verifier takes what is loaded from there for a pointer, with which nothing may be calculated. */
	return tcp && !READ_KERNEL(user_data, ((struct sock *)tcp)->sk_user_data) && reads_answers(user_data);
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
static __always_inline int settle_send(struct sk_msg_md *msg, struct bpf_sock *sk, struct send *send, const struct fqdn_image_head *head)
{
	const struct scratch *s = send->job.s;

	/* Never after a part of this send has passed: the kernel would put what comes next in the wrong place. */
	if (s->send.wanted)
		return hold_back(msg, s->send.wanted);
	if (!s->send.why || s->send.at)
		return let_pass(msg, send->sock, s->send.at == s->send.size ? 0 : s->send.at);
	count(s->send.why);
	if (s->send.why != FQDN_COUNT_QUERY_REFUSED || !refusal_of(head)) {
		count(FQDN_COUNT_REFUSAL_SILENT);
		return SK_DROP;
	}
	/* The redirection would hold for all that is left of this send (`sk_redir` of struct sk_msg). */
	if (s->send.size != FRAME + s->send.length) {
		count(FQDN_COUNT_QUERY_PIPELINED);
		return SK_DROP;
	}
	/* The kernel keeps this word for all that is sent afterwards (`eval` of struct sk_psock): the connection is of no more use. */
	if (!has_room_for_answer(sk)) {
		count(FQDN_COUNT_REFUSAL_UNREAD);
		return SK_DROP;
	}
	count(FQDN_COUNT_REFUSAL_ANSWERED);
	return answer_refused(msg, send->cookie, refusal_of(head));
}

/*
 * Queries, before a byte of them is queued. Not to keep them back, egress does that, but to answer those that it would
 * keep back. What passes at once is as many as may be asked; the first that may not is met again, at the head of what
 * is left.
 */
SEC("sk_msg")
int fqdn_stream_query(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	const struct fqdn_image_head *head;
	struct flow f = { .proto = PROTO_TCP };
	struct send send = { .node = the_node() };
	int verdict;

	if (!sk)
		return SK_PASS;
	send.sock = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!send.sock || !send.node || !is_in_step(sk, send.sock))
		return SK_PASS;
	send.cookie = send.sock->cookie;
	send.stream = bpf_map_lookup_elem(&stream_owners, &send.cookie);
	if (!send.stream || open_policy(&send.job, send.stream->cgroup, &head))
		return let_pass(msg, send.sock, 0);
	if (!(send.job.binding->flags & FQDN_BINDING_ENFORCED) || is_audited(send.stream->cgroup) || msg->size >= SEND_MAX ||
	    bpf_msg_pull_data(msg, 0, msg->size, 0))
		return let_pass(msg, send.sock, 0);
	send.data = (void *)(long)msg->data;
	if (begin(&send.job, head, send.stream->cgroup, send.sock, &f)) {
		count(FQDN_COUNT_SCRATCH_BUSY);
		return let_pass(msg, send.sock, 0);
	}
	__builtin_memset(&send.job.s->send, 0, sizeof(send.job.s->send));
	send.job.s->send.size = msg->size;
	bpf_loop(SEND_MESSAGES, send_step, &send, 0);
	verdict = settle_send(msg, sk, &send, head);
	give_back(send.job.s);
	return verdict;
}

#endif
