/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A DNS answer on its way in. It is never dropped; it teaches only if everything about it holds, and then
 * before the application sees it.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "learn.h"
#include "query.h"

#define ADDRESS_IS_V6 0x80000000U
/* What a pointer can reach (RFC 1035 section 4.1.4). */
#define POINTER_REACH 0x4000

/* The owner name at `at` is the chain's present name: 1 or 0; -1 = malformed. Sets `after`. */
static __always_inline int owner_is_ours(struct job *job, __u32 at)
{
	struct scratch *s = job->s;

	/* Most owners are a pointer to where that name stands. */
	if (at + 2 <= s->length && s->owner_at < POINTER_REACH && be16_at(s, at) == (0xc000 | s->owner_at)) {
		s->after = at + 2;
		return 1;
	}
	if (!read_name(job, at))
		return -1;
	return same_name(s->read.bytes, s->chain.bytes);
}

static __always_inline void collect(struct scratch *s, __u32 at, __u32 ttl, __u32 flag)
{
	__u32 i = s->got;

	if (i < FQDN_ADDRESSES_MAX) {
		s->address_at[i] = at | flag;
		s->address_ttl[i] = ttl < s->min_ttl ? ttl : s->min_ttl;
	}
	s->got = i + 1;
}

static long record_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 start = s->at, at, type, class, ttl, length;
	int ours;

	if (i >= s->records)
		return 1;
	s->record = i;
	ours = owner_is_ours(job, start);
	if (ours < 0)
		goto broken;
	at = s->after;
	if (at + 10 > s->length)
		goto broken;
	type = be16_at(s, at);
	class = be16_at(s, at + 2);
	ttl = be32_at(s, at + 4);
	length = be16_at(s, at + 8);
	at += 10;
	if (at + length > s->length)
		goto broken;
	s->at = at + length;
	if (type == TYPE_OPT) {
		/* One, of the root, in the additional section; its time begins with the code's upper bits (RFC 6891 section 6.1). */
		if (s->record < s->answers || s->options++ || s->message[start & (FQDN_MESSAGE_MAX - 1)] || ttl >> 24)
			goto broken;
		return 0;
	}
	if (class != CLASS_IN)
		return 0;
	if ((type == TYPE_A && length != 4) || (type == TYPE_AAAA && length != 16))
		goto broken;
	if (type == TYPE_CNAME) {
		__u32 end = s->at;

		if (!read_name(job, at) || s->after != end)
			goto broken;
		s->at = end;
	}
	if (s->record >= s->answers || !ours)
		return 0;
	if (ttl >> 31) /* RFC 2181 section 8 */
		ttl = 0;
	if (type != TYPE_CNAME && type != s->question.qtype && s->question.qtype != TYPE_ANY)
		return 0;
	if (type == TYPE_A) {
		collect(s, at, ttl, 0);
	} else if (type == TYPE_AAAA) {
		collect(s, at, ttl, ADDRESS_IS_V6);
	} else if (type == TYPE_CNAME) {
		for (int k = 0; k < FQDN_NAME_ROOM / 8; k++)
			((__u64 *)s->chain.bytes)[k] = ((__u64 *)s->read.bytes)[k];
		s->owner_at = at;
		if (ttl < s->min_ttl)
			s->min_ttl = ttl;
	}
	return 0;
broken:
	s->broken = 1;
	return 1;
}

/* Reads the message against the pending question: 0 = addresses collected, else why it teaches nothing. */
static __noinline int read_answer(struct job *job)
{
	struct scratch *s = job->s;
	__u32 at;

	if (s->message[2] & DNS_FLAG_TC)
		return FQDN_COUNT_ANSWER_TRUNCATED;
	if (s->message[3] & DNS_RCODE)
		return FQDN_COUNT_ANSWER_ERROR;
	if ((s->message[2] & DNS_OPCODE) || be16_at(s, 4) != 1)
		return FQDN_COUNT_ANSWER_MALFORMED;
	s->answers = be16_at(s, 6);
	s->records = s->answers + be16_at(s, 8) + be16_at(s, 10);
	if (s->records > FQDN_RECORDS_MAX)
		return FQDN_COUNT_ANSWER_TOO_LONG;
	if (!read_name(job, DNS_HEADER))
		return FQDN_COUNT_ANSWER_MALFORMED;
	at = s->after;
	if (at + 4 > s->length)
		return FQDN_COUNT_ANSWER_MALFORMED;
	if (s->read.len != s->question.name_len || !same_name(s->read.bytes, s->question.name) ||
	    be16_at(s, at) != s->question.qtype || be16_at(s, at + 2) != CLASS_IN)
		return FQDN_COUNT_ANSWER_MISMATCH;
	for (int k = 0; k < FQDN_NAME_ROOM / 8; k++)
		((__u64 *)s->chain.bytes)[k] = ((__u64 *)s->read.bytes)[k];
	s->owner_at = DNS_HEADER;
	s->min_ttl = 0x7fffffff;
	s->got = 0;
	s->options = 0;
	s->broken = 0;
	s->at = at + 4;
	bpf_loop(FQDN_RECORDS_MAX, record_step, job, 0);
	if (s->broken || s->at != s->length)
		return FQDN_COUNT_ANSWER_MALFORMED;
	if (s->got > FQDN_ADDRESSES_MAX)
		return FQDN_COUNT_ANSWER_TOO_LONG;
	return s->got ? 0 : FQDN_COUNT_ANSWER_EMPTY;
}

static long learn_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at;
	__u64 expiry;

	if (i >= s->got)
		return 1;
	at = s->address_at[i & (FQDN_ADDRESSES_MAX - 1)];
	if (at & ADDRESS_IS_V6) {
		at &= FQDN_MESSAGE_MAX - 1;
		__builtin_memcpy(s->flow.dest.bytes, s->message + at, 16);
	} else {
		__be32 v4;

		at &= FQDN_MESSAGE_MAX - 1;
		__builtin_memcpy(&v4, s->message + at, 4);
		map_v4(&s->flow.dest, v4);
	}
	if (!may_learn(job)) {
		count(FQDN_COUNT_ADDRESS_NEVER);
		return 0;
	}
	expiry = s->now + s->address_ttl[i & (FQDN_ADDRESSES_MAX - 1)] * SECOND;
	if (learn_address(job, expiry))
		count(FQDN_COUNT_ADDRESS_LEARNED);
	else
		count(FQDN_COUNT_LEARNED_FULL);
	return 0;
}

static long clamp_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 *ttl = &s->address_ttl[i & (FQDN_ADDRESSES_MAX - 1)];

	if (i >= s->got)
		return 1;
	if (*ttl < s->low)
		*ttl = s->low;
	if (*ttl > s->high)
		*ttl = s->high;
	*ttl += s->wanted;
	if (*ttl > s->found)
		s->found = *ttl;
	return 0;
}

/* Clamps the times as the image says; gives the longest. */
static __always_inline __u32 clamp_times(struct job *job, const struct fqdn_image_head *head)
{
	struct scratch *s = job->s;

	s->low = head->ttl_min;
	s->high = head->ttl_max;
	s->wanted = head->ttl_grace;
	s->found = 0;
	bpf_loop(FQDN_ADDRESSES_MAX, clamp_step, job, 0);
	return s->found;
}

/* The pending question of this answer, copied to `question`. */
static __noinline int find_question(struct job *job, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	__u64 first;

	s->asked.id = *(__u16 *)s->message;
	first = place_of(s);
	s->place.cgroup = s->cgroup;
	for (int way = 0; way < FQDN_PENDING_WAYS; way++) {
		struct fqdn_pending *asked;

		s->place.slot = (first + way) & (FQDN_PENDING_SLOTS - 1);
		asked = bpf_map_lookup_elem(&pending, &s->place);
		if (!asked || !is_asked(asked, &s->asked))
			continue;
		__builtin_memcpy(&s->question, asked, sizeof(s->question));
		return is_asked(&s->question, &s->asked) && s->question.seal == seal_question(job, node) &&
		       s->now - s->question.time < FQDN_PENDING_MS * 1000000ULL;
	}
	return 0;
}

/* The whole answer in `message`, from the server in `asked`; gives the reason to count. */
static __noinline int take_answer(struct job *job, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	const struct fqdn_image_head *head;
	int why;

	if (!(s->message[2] & DNS_FLAG_QR))
		return FQDN_COUNT_ANSWER_MALFORMED;
	if (!find_question(job, node))
		return FQDN_COUNT_ANSWER_UNSOLICITED;
	if (s->question.cgroup != s->cgroup)
		return FQDN_COUNT_ANSWER_MISMATCH;
	why = read_answer(job);
	if (why)
		return why;
	head = image_head(job);
	if (!head)
		return FQDN_COUNT_IMAGE_MISSING;
	if (!keep_name(job, s->now + clamp_times(job, head) * SECOND))
		return FQDN_COUNT_NAMES_FULL;
	bpf_loop(FQDN_ADDRESSES_MAX, learn_step, job, 0);
	forget_question(s);
	return FQDN_COUNT_ANSWER_LEARNED;
}

#endif
