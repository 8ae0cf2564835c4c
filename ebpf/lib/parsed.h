/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the parser makes of one message, for tests: the same code runs in the kernel and natively. No hook uses it. */
#ifndef PARSED_H
#define PARSED_H

#include "answer.h"

/* Enough to tell two parsers apart. */
struct parsed {
	__u32 why;     /* 0, or the reason for which it teaches nothing */
	__u32 found;   /* addresses of an answer; 1 for a query that is one question */
	__u32 ttl;     /* of the addresses, added up */
	__u32 name;    /* length of the question's name */
	__u64 print;   /* of the addresses in their order, or of the question's name */
};

static __always_inline __u64 fold(__u64 print, const __u8 *bytes, __u32 words)
{
	for (__u32 i = 0; i < words; i++)
		print = mix(print ^ ((const __u32 *)bytes)[i]);
	return print;
}

static long print_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at;

	if (i >= s->got)
		return 1;
	at = s->address_at[i & (FQDN_ADDRESSES_MAX - 1)];
	s->min_ttl += s->address_ttl[i & (FQDN_ADDRESSES_MAX - 1)];
	s->seed = at & ADDRESS_IS_V6 ? fold(s->seed, s->message + (at & (FQDN_MESSAGE_MAX - 1)), 4) :
				       fold(s->seed, s->message + (at & (FQDN_MESSAGE_MAX - 1)), 1);
	return 0;
}

/* An answer to the question that it repeats itself. `message` and `length` are set. */
static __always_inline void parse_as_answer(struct job *job, struct fqdn_pending *question, struct parsed *out)
{
	struct scratch *s = job->s;

	if (!read_question_name(s) || s->after + 4 > s->length) {
		out->why = FQDN_COUNT_ANSWER_MALFORMED;
		return;
	}
	question->qtype = be16_at(s, s->after);
	question->name.len = s->name_len;
	ROLLED for (int k = 0; k < NAME_WORDS; k++)
		((__u64 *)question->name.bytes)[k] = ((__u64 *)s->name)[k];
	job->question = question;
	s->secret[0] = 0x0706050403020100ULL;
	s->secret[1] = 0x0f0e0d0c0b0a0908ULL;
	s->clamp.shortest = 0;
	s->clamp.longest = ~0U;
	s->clamp.grace = 0;
	s->left.names = NAMES_BUDGET;
	out->why = s->message[2] & DNS_FLAG_QR ? read_answer(job) : FQDN_COUNT_ANSWER_MALFORMED;
	out->name = s->name_len;
	if (out->why)
		return;
	out->found = s->got;
	s->min_ttl = 0;
	s->seed = 0;
	bpf_loop(FQDN_ADDRESSES_MAX, print_step, job, 0);
	out->ttl = s->min_ttl;
	out->print = s->seed;
}

static __always_inline void parse_as_query(struct job *job, struct parsed *out)
{
	struct scratch *s = job->s;

	if (!read_query(job)) {
		out->why = FQDN_COUNT_QUERY_MALFORMED;
		return;
	}
	find_labels(job);
	read_plain(job);
	out->found = 1;
	out->ttl = s->plain;
	out->name = s->name_len;
	out->print = s->qtype;
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++)
		out->print = mix(out->print ^ (8 * k < s->name_len ? ((__u64 *)s->name)[k] : 0));
}

#endif
