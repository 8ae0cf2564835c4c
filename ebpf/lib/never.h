/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses that no answer may teach: loopback, link-local and metadata, multicast... (in the image as addresses, with the
 * profile's own), and this host's own, which no image can know. Only a rule that names the address itself opens them.
 *
 * INVARIANT: asked when an address is learned, and again under each image that judges what was learned.
 */
#ifndef NEVER_H
#define NEVER_H

#include "judge.h"

/* No address that begins like this one is of the image's list. */
static __noinline int is_learnable(struct job *job, const union address *address)
{
	const struct block *bits = image_block(job, 4); /* struct fqdn_image_learnable */
	__u32 octet = is_v4(address) ? address->bytes[12] : address->bytes[0];

	return bits && bits->word[octet / 64 + (is_v4(address) ? 0 : 4)] >> (octet % 64) & 1;
}

static __always_inline bool is_local(const union address *address)
{
	return bpf_map_lookup_elem(&locals, address) != NULL;
}

/* The address of `flow.dest` is learned by no answer but where a rule names it. */
static __always_inline int needs_rule(struct job *job)
{
	struct scratch *s = job->s;

	if (is_local(&s->flow.dest))
		return 1;
	return !is_learnable(job, &s->flow.dest) && class_holds(job, address_class(job, &s->flow.dest), FQDN_SELECTOR_NEVER);
}

/* A rule of the workload names the address of `flow.dest`, on whatever port. */
static __always_inline int is_named_address(struct job *job)
{
	struct scratch *s = job->s;
	int named;

	judge_one(s, address_class(job, &s->flow.dest));
	s->usage = USE_REACH;
	s->any_port = 1;
	s->with_any = 0;
	s->with_star = 0;
	named = judge(job);
	s->any_port = 0;
	return named;
}

/* 1 = the image and this host let an answer teach the address of `flow.dest`. */
static __always_inline int may_be_learned(struct job *job)
{
	return !needs_rule(job) || is_named_address(job);
}

#endif
