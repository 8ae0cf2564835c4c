/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Answers over TCP, out of the segments as they come in (RFC 1035 section 4.2.2). The socket's own way of receiving
 * stays as it is: with a stream parser of the kernel a blocking recv may fail with EAGAIN, and splice does not work.
 *
 * INVARIANT: the bytes are met in order and once. A segment from beyond a gap is dropped, and the server sends it again.
 */
#ifndef STREAM_LIB_H
#define STREAM_LIB_H

#include "answer.h"

/* The length before each message. */
#define FRAME 2
/* Most messages of one segment; the rest of it teaches nothing. */
#define SEGMENT_MESSAGES 64
/* No honest server is further ahead than this. */
#define MOST_AHEAD (1 << 20)

struct segment {
	struct job job;
	const struct fqdn_node *node;
	struct fqdn_stream *stream;
	__u64 cookie;
	__u32 at;  /* in the packet */
	__u32 end;
};

static __always_inline void forget_partial(__u64 cgroup, __u64 cookie)
{
	struct fqdn_usage *share;

	if (bpf_map_delete_elem(&partials, &cookie))
		return;
	share = bpf_map_lookup_elem(&usage, &cgroup);
	if (share)
		give_share(&share->partials);
}

static __always_inline struct partial *keep_partial(__u64 cgroup, __u64 cookie)
{
	__u32 zero = 0;
	struct partial *have = bpf_map_lookup_elem(&partials, &cookie), *none;
	struct fqdn_usage *share;

	if (have)
		return have;
	none = bpf_map_lookup_elem(&no_partial, &zero);
	share = usage_of_workload(cgroup);
	if (!none || !share || !take_share(&share->partials, FQDN_PARTIALS_QUOTA))
		return NULL;
	if (bpf_map_update_elem(&partials, &cookie, none, BPF_NOEXIST)) {
		give_share(&share->partials);
		return NULL;
	}
	return bpf_map_lookup_elem(&partials, &cookie);
}

/* A message that is in `message`, whole. */
static __always_inline void hear(struct segment *segment)
{
	struct scratch *s = segment->job.s;
	union address server;

	__builtin_memcpy(server.bytes, segment->stream->asked, 16);
	set_asked(s, segment->cookie, &server, segment->stream->asked_port);
	count(take_answer(&segment->job, segment->node));
}

/* What the packet holds of the present message, `take` bytes from `body` on, is put away until the rest comes. */
static __always_inline void put_away(struct segment *segment, __u32 body, __u32 take)
{
	struct fqdn_stream *stream = segment->stream;
	struct partial *partial = stream->lost ? NULL : keep_partial(stream->cgroup, segment->cookie);

	body &= FQDN_MESSAGE_MAX - 1;
	OPAQUE(take);
	take &= FQDN_MESSAGE_MAX - 1;
	OPAQUE(take);
	/* One byte apart: of a number that is not 0 the verifier of 6.1 does not know that it is 1 at least. */
	if (!partial || (take < 2 ? bpf_skb_load_bytes(segment->job.skb, segment->at, partial->bytes + body, 1) :
				    bpf_skb_load_bytes(segment->job.skb, segment->at, partial->bytes + body, take)))
		stream->lost = 1;
}

/* The whole message is here or was put away: to `message`. */
static __always_inline int bring_together(struct segment *segment, bool here)
{
	struct scratch *s = segment->job.s;
	__u32 length = segment->stream->length;
	struct partial *partial;

	if (segment->stream->lost || length < DNS_HEADER)
		return 0;
	s->length = length;
	OPAQUE(length);
	length &= FQDN_MESSAGE_MAX - 1; /* 6.1 has lost by then that two bytes are no negative number */
	OPAQUE(length);
	if (length < DNS_HEADER)
		return 0;
	if (here)
		return bpf_skb_load_bytes(segment->job.skb, segment->at, s->message, length) == 0;
	partial = bpf_map_lookup_elem(&partials, &segment->cookie);
	return partial && bpf_probe_read_kernel(s->message, length, partial->bytes) == 0;
}

/* A byte of the length, or what there is of a message. */
static long segment_step(__u32 i, struct segment *segment)
{
	struct fqdn_stream *stream = segment->stream;
	__u32 left = segment->end - segment->at, body, take;
	__u8 byte;

	if (!left)
		return 1;
	if (stream->have < FRAME) {
		if (bpf_skb_load_bytes(segment->job.skb, segment->at, &byte, 1))
			return 1;
		stream->length = stream->have ? stream->length << 8 | byte : byte;
		stream->have++;
		segment->at++;
		if (stream->have == FRAME && !stream->length)
			stream->have = 0;
		return 0;
	}
	body = stream->have - FRAME;
	take = stream->length - body;
	if (take > left)
		take = left;
	if (take < stream->length)
		put_away(segment, body, take);
	if (body + take == stream->length) {
		if (bring_together(segment, take == stream->length))
			hear(segment);
		else
			count(FQDN_COUNT_ANSWER_TOO_LONG);
		if (body)
			forget_partial(stream->cgroup, segment->cookie);
		stream->have = 0;
		stream->lost = 0;
	} else {
		stream->have += take;
	}
	segment->at += take;
	return 0;
}

/* The stream whose segment this is; NULL = teaches nothing. `skip` = bytes that have been met before. */
static __always_inline int is_in_order(struct fqdn_stream *stream, const struct flow *f, __u32 length, __u32 *skip)
{
	__s32 ahead = f->sequence - stream->next; /* numbers wrap */

	if (ahead > MOST_AHEAD)
		stream->deaf = 1;
	else if (ahead > 0)
		return 0;
	*skip = -ahead < (__s32)length ? -ahead : length;
	return 1;
}

static __always_inline int read_segment(struct segment *segment)
{
	bpf_loop(SEGMENT_MESSAGES * (FRAME + 1), segment_step, segment, 0);
	if (segment->at != segment->end)
		segment->stream->deaf = 1; /* its framing is lost */
	return 0;
}

#endif
