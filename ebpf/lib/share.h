/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Whose room an address of `learned` takes. A workload has 256 elements of its own, and above them some of what is common, up to
 * its share; addresses that no rule lets it reach have a small pool, so that a new policy still finds them. Where the share is
 * full, an address gives way: one that is over, else of eight of its own the one that was used longest ago.
 *
 * INVARIANT: no workload makes another's element give way (bypass rows 18 and 39).
 */
#ifndef SHARE_H
#define SHARE_H

#include "walk.h"

/* Bits of `learnable` of a name, and of `share` of an element. */
#define LEARNABLE 1
#define GRANTED 2 /* a rule lets the workload reach what has this name */
#define COMMON 4  /* the element is of what is common */

#define DRAWS 8
/* What was used within this time does not give way. */
#define IN_USE (5 * 1000000000ULL)

static __always_inline __u32 *held_by_name(struct fqdn_owned *own, __u64 name)
{
	return &own->by_name[name >> 32 & (FQDN_OWNED_NAMES - 1)];
}

/* The element is gone, or comes to nothing. */
static __always_inline int give_room(__u64 cgroup, __u64 name, __u32 share)
{
	struct fqdn_usage *used = bpf_map_lookup_elem(&usage, &cgroup);
	struct fqdn_owned *own = bpf_map_lookup_elem(&owned, &cgroup);
	__u32 zero = 0;
	__u64 *common = bpf_map_lookup_elem(&pool, &zero);

	if (used)
		__sync_fetch_and_add(share & GRANTED ? &used->learned : &used->idle, -1);
	if (used && (share & (GRANTED | COMMON)) == GRANTED)
		__sync_fetch_and_add(&used->own, -1);
	if (common && (share & COMMON))
		__sync_fetch_and_add(common, -1);
	/* A workload that was bound anew counts from nothing. */
	if (own && READ_ONCE(*held_by_name(own, name)))
		__sync_fetch_and_add(held_by_name(own, name), -1);
	return 0;
}

/* Elements that each workload has for itself: half of all go round. image/src/abi.rs says the same to the loader. */
static __always_inline __u32 reserved(const struct fqdn_node *node)
{
	__u32 each = FQDN_LEARNED_MOST / 2 / (node->workloads ? node->workloads : 1);

	return each < FQDN_RESERVED ? each : FQDN_RESERVED;
}

/* One of what is common: of `learned` (POOL_COMMON) or of `names` (POOL_NAMES). */
static __always_inline int take_common(const struct fqdn_node *node, __u32 at)
{
	__u64 *common = bpf_map_lookup_elem(&pool, &at);
	__s64 most = (__s64)FQDN_LEARNED_MOST - (__s64)node->workloads * reserved(node);

	if (!common)
		return 0;
	if ((__s64)__sync_fetch_and_add(common, 1) < most)
		return 1;
	__sync_fetch_and_add(common, -1);
	return 0;
}

/* Room for the address of `fresh`, if there is some. */
static __always_inline int try_room(struct scratch *s, struct fqdn_usage *used, const struct fqdn_node *node)
{
	bool granted = s->fresh.learnable & GRANTED;
	__u64 *room = granted ? &used->learned : &used->idle;
	__s64 have = __sync_fetch_and_add(room, 1);

	s->fresh.learnable &= ~COMMON;
	if (have < (granted ? FQDN_LEARNED_QUOTA : FQDN_IDLE_QUOTA)) {
		if (granted && take_share(&used->own, reserved(node)))
			return 1;
		if (take_common(node, POOL_COMMON)) {
			s->fresh.learnable |= COMMON;
			return 1;
		}
	}
	__sync_fetch_and_add(room, -1);
	return 0;
}

/* Room for a name in `names`; `share` = whose. */
static __always_inline int take_name_room(struct fqdn_usage *used, __u32 *share)
{
	const struct fqdn_node *node = the_node();

	if (!node || !take_share(&used->names, FQDN_NAMES_QUOTA))
		return 0;
	*share = 0;
	if (take_share(&used->own_names, reserved(node)))
		return 1;
	*share = COMMON;
	if (take_common(node, POOL_NAMES))
		return 1;
	give_share(&used->names);
	return 0;
}

static __always_inline void give_name_room(struct fqdn_usage *used, __u32 share)
{
	__u32 at = POOL_NAMES;
	__u64 *common = bpf_map_lookup_elem(&pool, &at);

	if (used)
		give_share(&used->names);
	if (used && !(share & COMMON))
		give_share(&used->own_names);
	if (common && (share & COMMON))
		__sync_fetch_and_add(common, -1);
}

#define ROOM_NONE 0
#define ROOM_TAKEN 1
#define ROOM_NONE_FOR_NAME 2

/* Room for the address of `fresh`; `learned_key` is remembered as one that may give way. */
APART int take_room(struct scratch *s)
{
	const struct fqdn_node *node = the_node();
	struct fqdn_usage *used;
	struct fqdn_owned *own;
	__u64 cgroup;
	__u32 at;

	if (!s || !node)
		return ROOM_NONE;
	cgroup = s->cgroup;
	used = usage_of_workload(cgroup);
	own = bpf_map_lookup_elem(&owned, &cgroup);
	if (!used || !own)
		return ROOM_NONE;
	if (*held_by_name(own, s->fresh.name) >= FQDN_LEARNED_QUOTA / 4)
		return ROOM_NONE_FOR_NAME;
	if (!try_room(s, used, node))
		return ROOM_NONE;
	__sync_fetch_and_add(held_by_name(own, s->fresh.name), 1);
	/* In the place of what gave way: so that all that is held can be drawn. */
	at = s->slot ? s->slot - 1 : __sync_fetch_and_add(&own->next, 1);
	at &= FQDN_LEARNED_QUOTA - 1;
	s->slot = 0;
	__builtin_memcpy(own->ring[at].addr, s->learned_key.addr, 16);
	own->ring[at].netns = s->learned_key.netns;
	return ROOM_TAKEN;
}

static __always_inline void ring_key(struct fqdn_learned_key *key, const struct fqdn_owned *own, __u32 at)
{
	at &= FQDN_LEARNED_QUOTA - 1;
	__builtin_memcpy(key->addr, own->ring[at].addr, 16);
	key->netns = own->ring[at].netns;
}

/* One of the workload's own addresses gives way: of the same kind and, with `by_name`, of the same name. 0 = none does. */
APART int make_room(struct scratch *s, __u32 by_name)
{
	struct fqdn_learned_key key = {};
	struct fqdn_learned *value;
	struct fqdn_owned *own;
	__u64 least = ~0ULL, name = 0;
	__u32 share = 0, first = 0;
	int ended = 0;

	if (!s)
		return 0;
	key.cgroup = s->cgroup;
	own = bpf_map_lookup_elem(&owned, &key.cgroup);
	if (!own)
		return 0;
	ROLLED for (__u32 k = 0; k < DRAWS; k++) {
		__u64 used;

		s->dice = mix(s->dice + s->now + k);
		ring_key(&key, own, s->dice);
		value = bpf_map_lookup_elem(&learned, &key);
		if (!value || (value->share & GRANTED) != (s->fresh.learnable & GRANTED) ||
		    (by_name && held_by_name(own, value->first) != held_by_name(own, s->fresh.name)))
			continue;
		used = value->used;
		if (s->now < value->until && used + IN_USE > s->now)
			continue;
		if (used < value->born)
			used = value->born;
		if (s->now >= value->until)
			used = 0;
		if (used >= least)
			continue;
		least = used;
		first = s->dice;
	}
	if (least == ~0ULL)
		return 0;
	s->slot = 1 + (first & (FQDN_LEARNED_QUOTA - 1));
	ring_key(&key, own, first);
	value = bpf_map_lookup_elem(&learned, &key);
	if (!value)
		return 1; /* the sweep was faster */
	bpf_spin_lock(&value->lock);
	if (value->cgroup == key.cgroup) {
		value->cgroup = 0;
		ended = 1;
	}
	name = value->first;
	share = value->share;
	bpf_spin_unlock(&value->lock);
	if (!ended || bpf_map_delete_elem(&learned, &key))
		return 1;
	give_room(key.cgroup, name, share);
	count(FQDN_COUNT_LEARNED_DISPLACED);
	return 1;
}

static __always_inline void give_back_room(const struct scratch *s)
{
	give_room(s->cgroup, s->fresh.name, s->fresh.learnable & (GRANTED | COMMON));
}

#endif
