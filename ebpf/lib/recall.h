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
#define SERVER_ENTRIES 2

_Static_assert(sizeof(((struct fqdn_binding *)0)->asked) == ASKED_ENTRIES * 16, "two words an entry");
_Static_assert(sizeof(((struct fqdn_binding *)0)->servers) == SERVER_ENTRIES * 32, "four words an entry");

/* Never 0, as what has not been written is. */
static __always_inline __u64 seal(const struct job *job, const struct fqdn_node *node, __u64 what)
{
	return mix(mix(what ^ node->secret[0]) ^ job->binding->version ^ node->secret[1]) | 1;
}

/*
 * All that decides about a question, in a word: class, letters, server, port and protocol. 0 = it does not fit, or more
 * decides: other layers' classes, denials.
 */
static __always_inline __u64 asked_word(const struct job *job)
{
	const struct scratch *s = job->s;

	if (job->rows->layers != 1 || (job->binding->flags & FQDN_BINDING_DENIES) || s->class >> 22 || s->entries >> FQDN_RESOLVER_ENTRIES)
		return 0;
	return (__u64)s->class << 42 | (__u64)s->entries << 18 | (__u64)s->flow.dest_port << 2 | (s->flow.proto == PROTO_TCP) << 1 | (s->plain != 0);
}

_Static_assert(FQDN_RESOLVER_ENTRIES == 24, "asked_word has room for 24 bits of entries");

static __always_inline __u64 *asked_entry(struct job *job, __u64 word)
{
	return job->binding->asked + 2 * (mix(word) & (ASKED_ENTRIES - 1));
}

static __always_inline bool was_allowed(struct job *job, const struct fqdn_node *node, __u64 word)
{
	__u64 *entry = asked_entry(job, word);

	return READ_ONCE(entry[0]) == word && READ_ONCE(entry[1]) == seal(job, node, word);
}

static __always_inline void remember_allowed(struct job *job, const struct fqdn_node *node, __u64 word)
{
	__u64 *entry = asked_entry(job, word);

	READ_ONCE(entry[0]) = word;
	READ_ONCE(entry[1]) = seal(job, node, word);
}

/* `resolver_entries` of the flow's destination. The map is written under an epoch that ends afterwards. */
static __always_inline __u32 server_entries(struct job *job, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	__u32 epoch = READ_ONCE(node->epoch);
	const union address *server = &s->flow.dest;
	__u64 *entry = job->binding->servers + 4 * (server->bytes[15] & (SERVER_ENTRIES - 1));
	__u64 what = READ_ONCE(entry[2]);
	__u32 entries;

	if (READ_ONCE(entry[0]) == server->half[0] && READ_ONCE(entry[1]) == server->half[1] && (__u32)what == epoch &&
	    READ_ONCE(entry[3]) == seal(job, node, mix(server->half[0] ^ mix(server->half[1])) ^ what))
		return what >> 32;
	barrier();
	entries = resolver_entries(s->generation, server);
	what = (__u64)entries << 32 | epoch;
	READ_ONCE(entry[0]) = server->half[0];
	READ_ONCE(entry[1]) = server->half[1];
	READ_ONCE(entry[2]) = what;
	READ_ONCE(entry[3]) = seal(job, node, mix(server->half[0] ^ mix(server->half[1])) ^ what);
	return entries;
}

#endif
