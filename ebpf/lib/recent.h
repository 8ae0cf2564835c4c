/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What was learned lately. A new element of `learned` is memory that no cache holds: to add one takes a packet 300 to
 * 600 ns. Here the same few places are written again and again, and the sweep's timer settles them: it brings each to
 * `learned`.
 *
 * INVARIANT: a place is free, or holds one name of one address, with its place in the workload's share; taken, it is
 * changed by the timer alone. What it holds is reached as what `learned` holds. Whoever finds his place taken adds to
 * `learned` himself: nobody misses another's place (bypass row 18).
 */
#ifndef RECENT_H
#define RECENT_H

#include "workload.h"

_Static_assert((FQDN_RECENT & (FQDN_RECENT - 1)) == 0, "a power of two");

static __always_inline struct fqdn_recent *recent_place(const struct fqdn_learned_key *key)
{
	const __u64 *half = (const __u64 *)key->addr;
	__u32 at = mix(mix(half[0] ^ half[1] ^ key->netns) ^ key->cgroup) & (FQDN_RECENT - 1);

	return bpf_map_lookup_elem(&recent, &at);
}

/* Under the place's lock. */
static __always_inline bool holds(const struct fqdn_recent *place, const struct fqdn_learned_key *key)
{
	return place->cgroup == key->cgroup && place->netns == key->netns && same_address(place->addr, (const union address *)key->addr);
}

/* 1 = the place is free, and holds `fresh` and its text now. */
static __noinline int take_place(struct scratch *s, const struct fqdn_name *name)
{
	struct fqdn_recent *place = recent_place(&s->learned_key);
	struct clock *present;
	__u32 zero = 0;
	int done = 0;

	if (!place || !name)
		return 0;
	bpf_spin_lock(&place->lock);
	if (!place->cgroup) {
		place->cgroup = s->learned_key.cgroup;
		place->netns = s->learned_key.netns;
		__builtin_memcpy(place->addr, s->learned_key.addr, 16);
		place->name = s->fresh;
		place->len = name->len;
		place->slot = s->taken;
		ROLLED for (__u32 k = 0; k < FQDN_CARRIED_MAX / 8; k++) {
			if (8 * k >= READ_ONCE(name->len))
				break;
			((__u64 *)place->bytes)[k] = ((const __u64 *)name->bytes)[k];
		}
		done = 1;
	}
	bpf_spin_unlock(&place->lock);
	present = bpf_map_lookup_elem(&clock, &zero);
	/* Ordered behind the place's content, on every architecture: the timer takes the word, and then looks. */
	if (done && present)
		__sync_lock_test_and_set(&present->unsettled, 1);
	return done;
}

#endif
