/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What was judged before, kept with the binding: a client asks names of the same few rules of the same server.
 *
 * An entry is believed only by its seal, a keyed hash of what it says and of the binding's version. No two bindings ever
 * have one version, so what a program still writes to an element that was meanwhile given to another binding is no
 * entry there, nor is one of which another CPU has written half.
 */
#ifndef RECALL_H
#define RECALL_H

#include "workload.h"

#define ASKED_ENTRIES 8

_Static_assert(sizeof(((struct fqdn_binding *)0)->asked) == ASKED_ENTRIES * 32, "four words an entry");
_Static_assert(FQDN_RESOLVER_ENTRIES == 24, "asked_word has room for 24 bits of entries");

#define ENTRIES_SHIFT 18
#define ENTRIES_BITS (((1ULL << FQDN_RESOLVER_ENTRIES) - 1) << ENTRIES_SHIFT)

/*
 * What decides about a question beside the server's address, in a word: class, letters, port and protocol; and what the
 * address means, the resolver's entries. 0 = it does not fit, or more decides: other layers' classes, denials. It lies in
 * the buffer, where the verifier does not tell one from another.
 */
static __always_inline void find_asked_word(const struct job *job)
{
	struct scratch *s = job->s;

	s->asked_word = 0;
	if (job->rows->layers == 1 && !(job->binding->flags & FQDN_BINDING_DENIES) && !(s->class >> 22))
		s->asked_word = (__u64)s->class << 42 | (__u64)s->flow.dest_port << 2 | (__u64)(s->flow.proto & 2) | (s->plain & 1);
}

_Static_assert((PROTO_TCP & 2) != (PROTO_UDP & 2), "a bit tells TCP from UDP");

static __always_inline __u64 *asked_entry(struct job *job)
{
	const struct scratch *s = job->s;
	__u32 place = (s->class ^ s->flow.dest.bytes[15]) & (ASKED_ENTRIES - 1);

	return job->binding->asked + 4 * place;
}

/* `resolvers` is written under an epoch that ends afterwards. Never 0, as what has not been written is. */
static __always_inline __u64 seal(const struct job *job, const struct fqdn_node *node, __u32 epoch, __u64 word)
{
	const union address *server = &job->s->flow.dest;
	__u64 key = node->secret[0] ^ job->binding->version;

	return mix(mix(mix(mix(word ^ key) ^ server->half[0]) ^ server->half[1]) ^ epoch ^ node->secret[1]) | 1;
}

/* The question was allowed before; sets the server's `entries`. */
static __always_inline bool was_allowed(struct job *job, const struct fqdn_node *node)
{
	__u64 *entry = asked_entry(job);
	__u64 have = READ_ONCE(entry[2]), word = job->s->asked_word;

	if (!word || (have & ~ENTRIES_BITS) != word || !same_address((const __u8 *)entry, &job->s->flow.dest) ||
	    READ_ONCE(entry[3]) != seal(job, node, READ_ONCE(node->epoch), have))
		return false;
	job->s->entries = (have & ENTRIES_BITS) >> ENTRIES_SHIFT;
	return true;
}

static __always_inline void remember_allowed(struct job *job, const struct fqdn_node *node)
{
	__u64 word = job->s->asked_word | ((__u64)job->s->entries << ENTRIES_SHIFT & ENTRIES_BITS);
	__u64 *entry = asked_entry(job);

	READ_ONCE(entry[0]) = job->s->flow.dest.half[0];
	READ_ONCE(entry[1]) = job->s->flow.dest.half[1];
	READ_ONCE(entry[2]) = word;
	READ_ONCE(entry[3]) = seal(job, node, job->s->epoch, word);
}

#endif
