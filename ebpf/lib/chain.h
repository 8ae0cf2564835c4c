/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A chain of CNAMEs whose records do not stand in its order: RFC 1034 section 3.6.2 promises none, and resolvers (musl, c-ares,
 * Go, Java) take any. Three steps: all links; from the question along them; the addresses of the name at its end.
 *
 * Names are compared by their keyed hash: who makes an answer does not know the key, and learns nothing of it.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "record.h"

/* Hash of the name at `at`, 0 = malformed; sets `after`. Most names are the pointer that the one before was. */
APART __u64 name_at(struct scratch *s, __u32 at)
{
	__u32 word;

	if (!s)
		return 0;
	word = be16_at(s, at);
	if (word >= 0xc000 && word == s->hashed_word && at + 2 <= s->length) {
		s->after = at + 2;
		return s->hash;
	}
	if (!take_name(s, at))
		return 0;
	s->hashed_word = word;
	s->hash = hash_name(s->read.bytes, &s->read.len, s->secret, 0);
	return s->hash;
}

static long link_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct record record;
	struct link *link;
	__u64 owner, target;
	__u32 next;

	if (i >= s->answers)
		return 1;
	owner = name_at(s, s->at);
	if (!owner || !read_record(s, &record))
		goto broken;
	if (record.class != CLASS_IN || record.type != TYPE_CNAME)
		return 0;
	next = s->at;
	target = name_at(s, record.at);
	s->at = next;
	if (!target || s->links_n >= LINKS_MAX)
		goto broken;
	link = &s->links[s->links_n & (LINKS_MAX - 1)];
	s->links_n++;
	link->owner = owner;
	link->target = target;
	link->ttl = ttl_of(&record);
	link->used = 0;
	link->at = record.at;
	return 0;
broken:
	s->broken = 1;
	return 1;
}

#define LINK(s, index) (&(s)->links[(index) & (LINKS_MAX - 1)])

/* Looks at one link: does it go on from the chain's present name? */
static __always_inline long follow_step(struct job *job)
{
	struct scratch *s = job->s;
	__u32 at = s->link_at;

	if (at >= s->links_n)
		return 1;
	s->link_at = at + 1;
	if (LINK(s, at)->owner != s->chain_name)
		return 0;
	if (!s->found) {
		s->found = 1;
		s->link_found = at;
	} else if (LINK(s, at)->target != LINK(s, s->link_found)->target) {
		s->broken = 1; /* two CNAMEs of one owner (RFC 2181 section 10.1) */
	} else if (LINK(s, at)->ttl < LINK(s, s->link_found)->ttl) {
		LINK(s, s->link_found)->ttl = LINK(s, at)->ttl;
	}
	return 0;
}

static long follow_steps(__u32 i, struct job *job)
{
	return SEVERAL(follow_step, job);
}

/* One name further along the chain; the least time of its links is that of its end. */
static long chain_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct link *link;

	s->link_at = 0;
	s->found = 0;
	bpf_loop(LINKS_MAX / AT_ONCE + 1, follow_steps, job, 0);
	link = LINK(s, s->link_found);
	if (s->found && link->used)
		s->broken = 1; /* it goes round */
	if (s->broken || !s->found)
		return 1;
	if (link->ttl < s->min_ttl)
		s->min_ttl = link->ttl;
	link->used = 1;
	s->chain_name = link->target;
	note_link(s, link->at);
	return 0;
}

static long address_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct record record;
	__u64 owner;

	if (i >= s->answers)
		return 1;
	owner = name_at(s, s->at);
	if (!owner || !read_record(s, &record)) {
		s->broken = 1;
		return 1;
	}
	if (owner == s->chain_name && is_wanted_address(s, &record))
		collect(s, &record);
	return 0;
}

/* Collects the addresses of the chain anew, wherever its records stand; they begin at `first`. 0 = it teaches nothing. */
static __always_inline int read_chain(struct job *job, __u32 first)
{
	struct scratch *s = job->s;

	if (s->astray > ASTRAY_MAX || s->answers > CHAIN_RECORDS_MAX)
		return 0;
	s->links_n = 0;
	s->broken = 0;
	s->hashed_word = 0;
	s->at = first;
	bpf_loop(s->answers, link_step, job, 0);
	if (s->broken)
		return 0;
	s->chain_name = name_at(s, DNS_HEADER);
	s->credited_n = 0;
	s->min_ttl = MOST_TTL;
	bpf_loop(LINKS_MAX + 1, chain_step, job, 0);
	if (s->broken)
		return 0;
	s->got = 0;
	s->more = 0;
	s->longest = 0;
	s->at = first;
	bpf_loop(s->answers, address_step, job, 0);
	return !s->broken;
}

#endif
