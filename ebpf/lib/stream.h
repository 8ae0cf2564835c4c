/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * DNS over TCP, out of the segments as they pass (RFC 1035 section 4.2.2): what the workload sends is judged, what the
 * server sends teaches. Segments, and not what a socket is given to send or reads: only they are all of it, in order.
 *
 * INVARIANT: the bytes of each direction are met in order and once. A segment from beyond a gap is dropped, and its
 * sender sends it again; one that ends where we are is a repetition.
 */
#ifndef STREAM_LIB_H
#define STREAM_LIB_H

#include "verdict.h"

/* The length before each message. */
#define FRAME 2
/* Most messages of one segment: 64 KiB of the shortest. */
#define SEGMENT_MESSAGES 2048
/* In `lost` of a half: the thread is lost, nothing on it is understood any more. */
#define DEAF 2
/* No honest peer is further ahead than this. */
#define MOST_AHEAD (1 << 20)

_Static_assert(sizeof(struct fqdn_half) == sizeof(((struct fqdn_stream *)0)->out), "a half of a stream");

struct segment {
	struct job job;
	const struct fqdn_node *node;
	struct fqdn_sock *sock;
	struct fqdn_stream *stream;
	struct fqdn_partial_key key;
};

static __noinline void forget_partial(__u64 cgroup, const struct fqdn_partial_key *key)
{
	struct fqdn_usage *share;

	if (bpf_map_delete_elem(&partials, key))
		return;
	share = bpf_map_lookup_elem(&usage, &cgroup);
	if (share)
		give_share(&share->partials);
}

static __always_inline struct partial *keep_partial(__u64 cgroup, const struct fqdn_partial_key *key)
{
	__u32 zero = 0;
	struct partial *have = bpf_map_lookup_elem(&partials, key), *none;
	struct fqdn_usage *share;

	if (have)
		return have;
	none = bpf_map_lookup_elem(&no_partial, &zero);
	share = usage_of_workload(cgroup);
	if (!none || !share || !take_share(&share->partials, FQDN_PARTIALS_QUOTA))
		return NULL;
	if (bpf_map_update_elem(&partials, key, none, BPF_NOEXIST)) {
		give_share(&share->partials);
		return NULL;
	}
	/* The connection may have ended meanwhile, on another CPU: nobody else would take this away. */
	if (!bpf_map_lookup_elem(&stream_owners, &key->cookie)) {
		forget_partial(cgroup, key);
		return NULL;
	}
	return bpf_map_lookup_elem(&partials, key);
}

/* What the packet holds of the present message, `take` bytes from `body` on, is put away until the rest comes. */
static __noinline void put_away(struct segment *segment, __u32 body, __u32 take)
{
	struct partial *partial = segment->job.s->half.lost ? NULL : keep_partial(segment->stream->cgroup, &segment->key);

	body &= FQDN_MESSAGE_MAX - 1;
	OPAQUE(take);
	take &= FQDN_MESSAGE_MAX - 1;
	OPAQUE(take);
	/* One byte apart: of a number that is not 0 the verifier of 6.1 does not know that it is 1 at least. */
	if (!partial || (take < 2 ? bpf_skb_load_bytes(segment->job.skb, segment->job.s->segment_at, partial->bytes + body, 1) :
				    bpf_skb_load_bytes(segment->job.skb, segment->job.s->segment_at, partial->bytes + body, take)))
		segment->job.s->half.lost = 1;
}

/* The whole message is here or was put away: to `message`. */
static __always_inline int bring_together(struct segment *segment, bool here)
{
	struct scratch *s = segment->job.s;
	__u32 length = segment->job.s->half.length;
	struct partial *partial;

	if (segment->job.s->half.lost || length < DNS_HEADER)
		return 0;
	s->length = length;
	OPAQUE(length);
	length &= FQDN_MESSAGE_MAX - 1; /* 6.1 has lost by then that two bytes are no negative number */
	OPAQUE(length);
	if (length < DNS_HEADER)
		return 0;
	if (here)
		return bpf_skb_load_bytes(segment->job.skb, segment->job.s->segment_at, s->message, length) == 0;
	partial = bpf_map_lookup_elem(&partials, &segment->key);
	return partial && bpf_probe_read_kernel(s->message, length, partial->bytes) == 0;
}

/* An answer, whole in `message` or not. */
static __always_inline int hear(struct segment *segment, int whole)
{
	if (whole)
		count(take_answer(&segment->job, segment->node));
	else
		count(FQDN_COUNT_ANSWER_TOO_LONG);
	return 1;
}

/* A question, whole in `message` or not. 0 = it is refused, and the segment with it. */
static __always_inline int judge_question(struct segment *segment, int whole)
{
	struct scratch *s = segment->job.s;

	segment->job.s->why = FQDN_COUNT_QUERY_MALFORMED;
	__builtin_memcpy(s->server.bytes, segment->stream->server, 16);
	s->flow.dest = s->server;
	s->flow.dest_port = segment->stream->port;
	if (whole)
		segment->job.s->why = judge_message(&segment->job);
	segment->job.s->mute = segment->job.s->why;
	if (!segment->job.s->why && whole && segment->job.s->other) {
		count(FQDN_COUNT_QUERY_OTHER);
		return 1;
	}
	if (!segment->job.s->why)
		count(FQDN_COUNT_QUERY_ALLOWED);
	else if (!is_audited(s->cgroup))
		return 0;
	else if (refuse(s->cgroup, segment->job.s->why), segment->job.s->why == FQDN_COUNT_QUERY_MALFORMED)
		return 1;
	set_asked(s, segment->key.cookie, &s->server, segment->stream->port);
	await_answer(s, class_generation(&segment->job));
	return 1;
}

/* A byte of the length, or what there is of a message. 1 = no more. */
static __always_inline long segment_step(struct segment *segment, bool back)
{
	struct fqdn_half *half = &segment->job.s->half;
	__u32 left = segment->job.s->segment_end - segment->job.s->segment_at, body, take;
	int whole;
	__u8 byte;

	if (!left)
		return 1;
	if (half->have < FRAME) {
		if (bpf_skb_load_bytes(segment->job.skb, segment->job.s->segment_at, &byte, 1))
			return 1;
		half->length = half->have ? half->length << 8 | byte : byte;
		half->have++;
		segment->job.s->segment_at++;
		if (half->have == FRAME && !half->length) {
			half->have = 0;
			return back || judge_question(segment, 0) ? 0 : 1;
		}
		return 0;
	}
	body = half->have - FRAME;
	take = half->length - body;
	if (take > left)
		take = left;
	if (take < half->length)
		put_away(segment, body, take);
	if (body + take == half->length) {
		whole = bring_together(segment, take == half->length);
		if (!(back ? hear(segment, whole) : judge_question(segment, whole)))
			return 1;
		if (body)
			forget_partial(segment->stream->cgroup, &segment->key);
		half->have = 0;
		half->lost = 0;
	} else {
		half->have += take;
	}
	segment->job.s->segment_at += take;
	return 0;
}

static long question_step(__u32 i, struct segment *segment)
{
	return segment_step(segment, false);
}

static long answer_step(__u32 i, struct segment *segment)
{
	return segment_step(segment, true);
}

#define SEGMENT_STEPS (SEGMENT_MESSAGES * (FRAME + 1))

/* Begins with the bytes that have not been met. 0 = from beyond a gap, 1 = go on, 2 = all of it is a repetition. */
static __always_inline int open_segment(struct segment *segment, const struct flow *f, __u32 packet)
{
	__u32 length = packet - f->payload;
	__s32 ahead = f->sequence - segment->job.s->half.next; /* numbers wrap: before() of include/net/tcp.h */

	if (ahead > 0)
		return 0;
	if (-ahead >= (__s32)length)
		return 2;
	segment->job.s->segment_at = f->payload - ahead;
	segment->job.s->segment_end = packet;
	return 1;
}

#endif
