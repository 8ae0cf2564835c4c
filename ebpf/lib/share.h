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

#include "reach.h"

/* Bits of `learnable` of a name, and of `share` of an element. */
#define LEARNABLE 1
#define GRANTED 2 /* a rule lets the workload reach what has this name */
#define COMMON 4  /* the element is of what is common */
#define HELD 8    /* the element is counted in its first name's element of `names` */

#define DRAWS 8
/* Most draws of which one is looked at in `learned`: a mark does not say what was used or learned again since, and is renewed then. */
#define TURNS 4
/*
 * A mark: the name's place in `by_name`, whether a rule reaches it, and when it was used, to the clock's tick: of what is learned in a
 * burst, the first is to give way.
 */
#define MARK_NAME (FQDN_OWNED_NAMES - 1ULL)
#define MARK_GRANTED (1ULL << 14)
#define MARK_TAKEN (1ULL << 15)
#define MARK_TIME(time) ((time) & ~0xffffULL)
/* Marks that are looked at for a free place, a few cache lines: where nearly all are taken, another address gives way. */
#define FREE_TRIES 32
/* What was used within this time does not give way. */
#define IN_USE (5 * 1000000000ULL)

static __always_inline __u32 *held_by_name(struct fqdn_owned *own, __u64 name)
{
	return &own->by_name[name >> 32 & (FQDN_OWNED_NAMES - 1)];
}

_Static_assert(MARK_NAME < MARK_GRANTED, "a mark has room for it");

static __always_inline __u64 mark_of(__u64 name, __u32 share, __u64 used)
{
	return MARK_TIME(used) | MARK_TAKEN | (share & GRANTED ? MARK_GRANTED : 0) | (name >> 32 & MARK_NAME);
}

/* A free place from `first` on, else from `second` on, and its mark set; FQDN_SLOTS = none was found. */
static __always_inline __u32 take_slot(struct fqdn_owned *own, __u32 first, __u32 second, __u64 mark)
{
	ROLLED for (__u32 k = 0; k < 2 * FREE_TRIES; k++) {
		__u32 at = (k < FREE_TRIES ? first : second) + (k & (FREE_TRIES - 1));

		if (at >= FQDN_SLOTS)
			at -= FQDN_SLOTS;
		if (at >= FQDN_SLOTS)
			return FQDN_SLOTS;
		if (!READ_ONCE(own->marks[at]) && !__sync_val_compare_and_swap(&own->marks[at], 0, mark))
			return at;
	}
	return FQDN_SLOTS;
}

/* Nothing is written down there any more, if it was this. */
static __always_inline void clear_mark(struct fqdn_owned *own, __u32 slot, const struct fqdn_learned_key *key)
{
	if (slot < FQDN_SLOTS && own->keys[slot].netns == key->netns && same_address(own->keys[slot].addr, (const union address *)key->addr))
		own->marks[slot] = 0;
}

static __always_inline void drop_room(struct fqdn_usage *used, __u32 share)
{
	__u32 zero = 0;
	__u64 *common = bpf_map_lookup_elem(&pool, &zero);

	if (used)
		__sync_fetch_and_add(share & GRANTED ? &used->learned : &used->idle, -1);
	if (used && (share & (GRANTED | COMMON)) == GRANTED)
		__sync_fetch_and_add(&used->own, -1);
	if (common && (share & COMMON))
		__sync_fetch_and_add(common, -1);
}

/* An address is held for the name that it was learned for first, or is no more: see `share` of struct fqdn_name. */
#define HELD_ONE 256
#define JOINED 128 /* it is a second name of some address */
static __always_inline void hold_name(__u64 key, __s32 more)
{
	struct fqdn_name *name = bpf_map_lookup_elem(&names, &key);

	/* One that was taken away and made anew counts from nothing. */
	if (name && (more > 0 || (__s32)name->share >= HELD_ONE))
		__sync_fetch_and_add(&name->share, more);
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

static __always_inline void leave_name(struct fqdn_owned *own, __u64 name, __u32 share)
{
	/* A workload that was bound anew counts from nothing. */
	if (READ_ONCE(*held_by_name(own, name)))
		__sync_fetch_and_add(held_by_name(own, name), -1);
	if (share & HELD)
		hold_name(name, -HELD_ONE);
}

/* The element is gone, or comes to nothing. */
static __always_inline int give_room(const struct fqdn_learned_key *key, __u64 name, __u32 share, __u32 slot)
{
	__u64 cgroup = key->cgroup;
	struct fqdn_usage *used = bpf_map_lookup_elem(&usage, &cgroup);
	struct fqdn_owned *own = bpf_map_lookup_elem(&owned, &cgroup);

	drop_room(used, share);
	if (own) {
		clear_mark(own, slot, key);
		leave_name(own, name, share);
	}
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

/*
 * The name has as many addresses as one may have: counted for itself if it stands in `names`, and not with another in the same place
 * of `by_name`. With addresses that came one at a time beside those it comes to half a share at most.
 */
static __always_inline bool holds_a_quarter(const struct scratch *s, struct fqdn_owned *own)
{
	__u64 key = s->fresh.name;
	__u32 together = *held_by_name(own, key);
	const struct fqdn_name *name = s->name_kept == NAME_KEPT ? bpf_map_lookup_elem(&names, &key) : NULL;

	if (!name)
		return together >= FQDN_LEARNED_QUOTA / 4;
	return (__s32)name->share >= FQDN_LEARNED_QUOTA / 4 * HELD_ONE || together >= FQDN_LEARNED_QUOTA / 2;
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

/* The sweep goes round at once, ten times a second for as long as it is so, and takes the names that no address is held for. */
#define SHORT_FOR 1000000000ULL
static __always_inline void want_names(struct fqdn_usage *used, __u64 now)
{
	__u32 at = POOL_CROWDED;
	__u64 *crowded = bpf_map_lookup_elem(&pool, &at);

	if (now + SHORT_FOR / 10 * 9 < used->short_of)
		return;
	used->short_of = now + SHORT_FOR;
	if (crowded)
		*crowded = 1;
}

/* Room for a name in `names`; `share` = whose. */
static __always_inline int take_name_room(struct fqdn_usage *used, __u64 now, __u32 *share)
{
	const struct fqdn_node *node = the_node();

	if (!node)
		return 0;
	if (used->names >= FQDN_NAMES_QUOTA / 4 * 3)
		want_names(used, now);
	if (!take_share(&used->names, FQDN_NAMES_QUOTA))
		return 0;
	*share = 0;
	if (take_share(&used->own_names, reserved(node)))
		return 1;
	*share = COMMON;
	if (take_common(node, POOL_NAMES))
		return 1;
	want_names(used, now);
	give_share(&used->names);
	return 0;
}

#define ROOM_NONE 0
#define ROOM_TAKEN 1
#define ROOM_NONE_FOR_NAME 2
#define ROOM_FREED 3 /* for whoever takes it */

/* The address of `fresh` stands at this place, which is its own already. */
static __always_inline void write_down(struct scratch *s, struct fqdn_owned *own, __u32 at)
{
	__sync_fetch_and_add(held_by_name(own, s->fresh.name), 1);
	s->fresh.learnable &= ~HELD;
	if (s->name_kept == NAME_KEPT) {
		hold_name(s->fresh.name, HELD_ONE);
		s->fresh.learnable |= HELD;
	}
	__builtin_memcpy(own->keys[at].addr, s->learned_key.addr, 16);
	own->keys[at].netns = s->learned_key.netns;
	s->taken = at;
}

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
	if (holds_a_quarter(s, own))
		return ROOM_NONE_FOR_NAME;
	if (!try_room(s, used, node))
		return ROOM_NONE;
	/* First the place of what gave way; else those behind the last one, or, where they are taken for long, any. */
	s->dice = mix(s->dice + s->now);
	at = s->slot && s->slot <= FQDN_SLOTS ? s->slot - 1 : own->next;
	at = take_slot(own, at, (s->dice & 0x7fff) * FQDN_SLOTS >> 15, mark_of(s->fresh.name, s->fresh.learnable, s->now));
	if (!s->slot)
		own->next = (at < FQDN_SLOTS ? at + 1 : own->next + FREE_TRIES) % FQDN_SLOTS;
	s->slot = 0;
	if (at >= FQDN_SLOTS) {
		drop_room(used, s->fresh.learnable);
		return ROOM_NONE;
	}
	write_down(s, own, at);
	return ROOM_TAKEN;
}

/* Of those that are drawn, the one that was used longest ago by its mark: of the kind of `fresh` and, with `by_name`, of its name. */
static __always_inline void draw(struct scratch *s, const struct fqdn_owned *own, __u32 by_name)
{
	__u64 wanted = mark_of(s->fresh.name, s->fresh.learnable, 0), mark;
	__s64 now = MARK_TIME(s->now), age;

	s->drawn = 0;
	s->age = 0;
	ROLLED for (__u32 k = 0; k < DRAWS; k++) {
		__u32 at = (s->dice >> 7 * k & 0x7fff) * FQDN_SLOTS >> 15;

		if (at >= FQDN_SLOTS)
			return;
		mark = READ_ONCE(own->marks[at]);
		if (!mark || ((mark ^ wanted) & (MARK_GRANTED | (by_name ? MARK_NAME : 0))))
			continue;
		age = now - (__s64)MARK_TIME(mark); /* below 0: of a packet that began after this one */
		if (s->drawn && age <= s->age)
			continue;
		s->age = age;
		s->drawn = 1 + at;
	}
}

static __always_inline __u64 last_used(const struct fqdn_learned *value)
{
	return value->used > value->born ? value->used : value->born;
}

/*
 * The element of `key`, whose lock the caller holds, is nobody's from here on, if it is still what was drawn: the map gives what was
 * removed to the next address at once, and it may have been used meanwhile.
 */
static __always_inline int end_element(const struct scratch *s, struct fqdn_learned *value, const struct fqdn_learned_key *key)
{
	if (!is_same_element(value, key) || value->slot != s->drawn - 1)
		return 0;
	if (s->now < value->until && mark_of(value->first, value->share, last_used(value)) != s->was)
		return 0;
	value->cgroup = 0;
	return 1;
}

/* What is written down there. 0 = no such place. */
static __always_inline int key_at(struct fqdn_learned_key *key, const struct fqdn_owned *own, __u32 at)
{
	if (at >= FQDN_SLOTS)
		return 0;
	__builtin_memcpy(key->addr, own->keys[at].addr, 16);
	key->netns = own->keys[at].netns;
	return 1;
}

/*
 * Draws the place, `drawn`, of an address that gives way: of the same kind and, with `by_name`, of the same name. 0 = none does: where
 * nobody looked for long, every mark is of before the last use, and the oldest that was looked at is good enough.
 */
APART int find_oldest(struct scratch *s, __u32 by_name)
{
	struct fqdn_learned_key key = {};
	struct fqdn_learned *value;
	struct fqdn_owned *own;
	__u64 mark;
	__u32 at;
	int in_use;

	if (!s)
		return 0;
	key.cgroup = s->cgroup;
	own = bpf_map_lookup_elem(&owned, &key.cgroup);
	if (!own)
		return 0;
	s->dice = mix(s->dice + s->now + 1);
	s->rests = 0;
	s->since = ~0ULL;
	ROLLED for (__u32 turn = 0; turn < TURNS; turn++) {
		draw(s, own, by_name);
		if (!s->drawn) { /* it has few, or few for this name */
			s->dice = mix(s->dice);
			continue;
		}
		at = s->drawn - 1;
		if (!key_at(&key, own, at))
			return 0;
		s->was = READ_ONCE(own->marks[at]);
		value = bpf_map_lookup_elem(&learned, &key);
		/* Learned lately, and not there yet; or of another name in the same place of `by_name`. */
		if (!value || value->slot != at || (by_name && s->name_kept == NAME_KEPT && value->first != s->fresh.name)) {
			s->dice = mix(s->dice);
			continue;
		}
		in_use = s->now < value->until && value->used + IN_USE > s->now;
		mark = mark_of(value->first, value->share, in_use ? s->now : last_used(value));
		if (s->now >= value->until || (!in_use && mark == s->was))
			return 1;
		if (!in_use && mark < s->since) {
			s->since = mark;
			s->rests = s->drawn;
		}
		/* Not over what was taken or freed meanwhile. Of the same eight, the next turn looks at the next oldest. */
		__sync_val_compare_and_swap(&own->marks[at], s->was, mark);
	}
	s->drawn = s->rests;
	s->was = s->since;
	return s->drawn != 0;
}

/*
 * It gives way, and its room and place are those of `fresh`: given back first, another CPU takes them, which learns the answer's
 * other half (A beside AAAA). ROOM_FREED = it went of itself.
 */
APART int end_oldest(struct scratch *s)
{
	struct fqdn_learned_key key = {};
	struct fqdn_learned *value;
	struct fqdn_owned *own;
	__u64 name;
	__u32 at, share;
	int ended;

	if (!s)
		return ROOM_NONE;
	at = s->drawn - 1;
	key.cgroup = s->cgroup;
	own = bpf_map_lookup_elem(&owned, &key.cgroup);
	if (!own || !key_at(&key, own, at))
		return ROOM_NONE;
	s->slot = 1 + at;
	value = bpf_map_lookup_elem(&learned, &key);
	if (!value)
		return ROOM_FREED; /* the sweep was faster */
	bpf_spin_lock(&value->lock);
	ended = end_element(s, value, &key);
	name = value->first;
	share = value->share;
	bpf_spin_unlock(&value->lock);
	if (!ended || bpf_map_delete_elem(&learned, &key))
		return ROOM_FREED;
	count(FQDN_COUNT_LEARNED_DISPLACED);
	if ((share ^ s->fresh.learnable) & GRANTED) {
		give_room(&key, name, share, at);
		return ROOM_FREED;
	}
	leave_name(own, name, share);
	s->fresh.learnable = (s->fresh.learnable & ~COMMON) | (share & COMMON);
	own->marks[at] = mark_of(s->fresh.name, s->fresh.learnable, s->now);
	write_down(s, own, at);
	return ROOM_TAKEN;
}

/* Room for the address of `fresh`; if need be, one of the workload's own gives way. */
#define ROOM_TRIES 4
static __always_inline int make_room(struct scratch *s)
{
	int room = take_room(s);

	ROLLED for (int try = 0; try < ROOM_TRIES && room != ROOM_TAKEN && s->left.vain; try++) {
		if (!find_oldest(s, room == ROOM_NONE_FOR_NAME)) {
			s->left.vain--; /* what was drawn is all in use */
			continue;
		}
		room = end_oldest(s);
		if (room == ROOM_FREED)
			room = take_room(s);
	}
	return room == ROOM_TAKEN;
}

APART int give_back_room(struct scratch *s)
{
	struct fqdn_learned_key key;

	if (!s)
		return 0;
	key = s->learned_key; /* as in `find_name` */
	return give_room(&key, s->fresh.name, s->fresh.learnable & (GRANTED | COMMON | HELD), s->taken);
}

#endif
