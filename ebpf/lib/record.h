/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A resource record of an answer, and the addresses that are collected from such (RFC 1035 section 4.1.3). */
#ifndef RECORD_H
#define RECORD_H

#include "query.h"

#define ADDRESS_IS_V6 0x80000000U
#define MOST_TTL 0x7fffffffU
/* Seconds that any address is held: who resolves and connects at once must not find the name over. */
#define LEAST_HOLD 2

struct record {
	__u32 type, class, ttl;
	__u32 at, length; /* of its data */
};

/* Reads the record behind whose owner `after` is, up to its data, and moves on to the next. 0 = malformed. */
static __always_inline int read_record(struct scratch *s, struct record *r)
{
	__u32 at = s->after;

	if (at + 10 > s->length)
		return 0;
	r->type = be16_at(s, at);
	r->class = be16_at(s, at + 2);
	r->ttl = be32_at(s, at + 4);
	r->length = be16_at(s, at + 8);
	r->at = at + 10;
	if (r->at + r->length > s->length)
		return 0;
	s->at = r->at + r->length;
	return 1;
}

/* RFC 2181 section 8: a TTL with the most significant bit set is zero. */
static __always_inline __u32 ttl_of(const struct record *r)
{
	return r->ttl >> 31 ? 0 : r->ttl;
}

/* An address of the kind that was asked for. */
static __always_inline bool is_wanted_address(const struct scratch *s, const struct record *r)
{
	if (r->class != CLASS_IN || (r->type != s->qtype && s->qtype != TYPE_ANY))
		return false;
	return (r->type == TYPE_A && r->length == 4) || (r->type == TYPE_AAAA && r->length == 16);
}

/* How long an address is held: as the image clamps its time, and the grace behind it. */
static __always_inline __u32 hold(const struct scratch *s, __u32 ttl)
{
	if (ttl > s->min_ttl)
		ttl = s->min_ttl;
	if (ttl < s->clamp.shortest)
		ttl = s->clamp.shortest;
	if (ttl > s->clamp.longest)
		ttl = s->clamp.longest;
	ttl += s->clamp.grace;
	return ttl < LEAST_HOLD ? LEAST_HOLD : ttl;
}

/* The chain goes on to the name at `at`; more than there is room for are not credited. */
static __always_inline void note_link(struct scratch *s, __u32 at)
{
	__u32 n = s->credited_n;

	if (n >= CREDITED_MAX)
		return;
	s->credited_at[n & (CREDITED_MAX - 1)] = at;
	s->credited_n = n + 1;
}

static __always_inline void collect(struct scratch *s, const struct record *r)
{
	__u32 i = s->got, held = hold(s, ttl_of(r));

	if (i >= FQDN_ADDRESSES_MAX) {
		s->more = 1;
		return;
	}
	s->address_at[i] = r->at | (r->type == TYPE_AAAA ? ADDRESS_IS_V6 : 0);
	s->address_ttl[i] = held;
	if (held > s->longest)
		s->longest = held;
	s->got = i + 1;
}

#endif
