/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Addresses of an answer become reachable, for the question's name, until their time is over. */
#ifndef LEARN_H
#define LEARN_H

#include "reach.h"
#include "share.h"

/* Words of a binding's `learned`, and bits of one that say it is full: three quarters. */
#define SEEN_WORDS 128
#define SEEN_MOST 48

_Static_assert(sizeof(((struct fqdn_binding *)0)->learned) == 8 * SEEN_WORDS, "words");
_Static_assert(sizeof(struct fqdn_image_learnable) == sizeof(struct block), "a block");
_Static_assert(sizeof(struct fqdn_sweep_item) == sizeof(struct fqdn_learned_key), "an item is a key of learned");

/*
 * What is to be removed some day: a key of `learned`, or of cgroup 0 and a name's. Whose items of what gave way fill his part
 * of the queue, must wait until the sweep has visited them: nobody else's find none (bypass row 54).
 */
static __always_inline int queue_sweep(const void *item, struct fqdn_usage *used)
{
	__u32 at = POOL_QUEUED, crowded = POOL_CROWDED;
	__u64 *queued = bpf_map_lookup_elem(&pool, &at);
	__u64 *hurry = bpf_map_lookup_elem(&pool, &crowded);
	const struct fqdn_node *node = the_node();
	__s64 most, idle;

	if (!used || !node)
		return 0;
	most = FQDN_ITEMS_MOST / (node->workloads ? node->workloads : 1);
	idle = (__s64)__sync_fetch_and_add(&used->items, 1) - (__s64)(used->learned + used->idle + used->names);
	if (hurry && idle > most / 2)
		*hurry = 1;
	if (idle >= most) {
		give_share(&used->items);
		return 0;
	}
	if (bpf_map_push_elem(&sweep, item, BPF_ANY) == 0) {
		if (queued)
			__sync_fetch_and_add(queued, 1);
		return 1;
	}
	give_share(&used->items);
	count(FQDN_COUNT_SWEEP_LOST);
	return 0;
}

/* The question's name gets, or has, its place in `names`; the bytes are compared (bypass: crafted hashes). */
static __noinline int keep_name(struct scratch *s, struct fqdn_name *own)
{
	__u64 key = s->name_key, until = s->holds_from + s->longest * SECOND;
	struct fqdn_name *name;

	if (!own)
		return 0;
	name = bpf_map_lookup_elem(&names, &key);
	if (!name) {
		struct fqdn_usage *share = usage_of_workload(s->cgroup);
		struct fqdn_sweep_item item = {};

		__builtin_memcpy(item.key, &key, 8);
		if (!share || !take_name_room(share, s->now, &own->share))
			return 0;
		own->until = until;
		if (bpf_map_update_elem(&names, &key, own, BPF_NOEXIST) == 0) {
			/* Queued afterwards: the sweep drops an item whose entry is not there. Without an item it would stay for ever. */
			if (queue_sweep(&item, share))
				return 1;
			bpf_map_delete_elem(&names, &key);
		}
		give_name_room(share, own->share);
		name = bpf_map_lookup_elem(&names, &key);
		if (!name)
			return 0;
	}
	if (name->len != own->len || !same_name(name->bytes, own->bytes, &name->len))
		return 0;
	if (name->until < until)
		name->until = until;
	return 1;
}

static __always_inline bool keeps_name(struct scratch *s, struct fqdn_name *own)
{
	if (s->name_kept == NAME_NOT_LOOKED_FOR)
		s->name_kept = keep_name(s, own) ? NAME_KEPT : NAME_FINDS_NO_ROOM;
	return s->name_kept == NAME_KEPT;
}

/*
 * A rule lets the workload reach what has the question's name, on some port. Of a question under another image nobody knows
 * without its bytes; it counts as if.
 */
static __noinline int is_granted(struct job *job)
{
	const struct fqdn_pending *question = job->question;
	struct scratch *s = job->s;

	if (!question || question->generation != s->generation)
		return 1;
	judge_one(s, question->class);
	s->usage = USE_REACH;
	s->any_port = 1;
	s->with_any = 0;
	s->with_star = s->has_star && question->plain;
	return judge(job);
}

/* `learnable` = no rule is needed, under the image of the name's class. */
static __always_inline int may_learn(struct job *job)
{
	struct scratch *s = job->s;
	int needs;

	/* Once for an answer, and only where something is new. */
	if (s->granted == NOT_KNOWN)
		s->granted = is_granted(job);
	needs = needs_rule(job);
	s->fresh.learnable = (!needs && s->fresh.generation == s->generation ? LEARNABLE : 0) | (s->granted ? GRANTED : 0);
	return !needs || is_named_address(job);
}

/* Rounded up: what is counted back from the end comes before the answer. 0 = more than the field holds. */
static __always_inline __u16 minutes(__u64 span)
{
	__u64 whole = span / MINUTE + 1;

	return whole >> 16 ? 0 : whole;
}

/* What gives way first: a free place, or a name that is over; then one that no rule lets reach; then what ends first. */
static __always_inline __u64 rank(const struct fqdn_learned_name *entry, __u64 now)
{
	if (!entry->name || entry->expiry <= now)
		return 0;
	return (entry->learnable & GRANTED ? 1ULL << 63 : 1ULL << 62) | entry->expiry >> 2;
}

/* 0 = every name there lasts, and this one is of less use. */
static __always_inline int add_name(struct fqdn_learned *value, const struct fqdn_learned_name *fresh, __u64 now)
{
	struct fqdn_learned_name *first;
	__u64 least;

	if (value->until < fresh->expiry)
		value->until = fresh->expiry;
	ROLLED for (int i = 0; i < FQDN_LEARNED_NAMES; i++) {
		struct fqdn_learned_name *entry = &value->names[i];

		if (entry->name == fresh->name) {
			if (entry->expiry < fresh->expiry)
				entry->expiry = fresh->expiry;
			entry->held = minutes(entry->expiry - now);
			entry->generation = fresh->generation;
			entry->class = fresh->class;
			entry->plain = fresh->plain;
			entry->learnable = fresh->learnable;
			return 1;
		}
	}
	first = &value->names[0];
	least = rank(first, now);
	ROLLED for (int i = 1; i < FQDN_LEARNED_NAMES; i++) {
		__u64 this = rank(&value->names[i], now);

		if (this < least) {
			least = this;
			first = &value->names[i];
		}
	}
	if (least >> 63 && !(fresh->learnable & GRANTED))
		return 0;
	first->name = fresh->name;
	first->generation = fresh->generation;
	first->expiry = fresh->expiry;
	first->class = fresh->class;
	first->plain = fresh->plain;
	first->learnable = fresh->learnable;
	first->held = fresh->held;
	return 1;
}

/* The text that stands with the address is the question's name. */
static __always_inline bool carries(const struct fqdn_learned *value, const struct fqdn_name *name)
{
	__u64 differ = value->carried_len ^ name->len;

	ROLLED for (__u32 k = 0; k < FQDN_CARRIED_MAX / 8; k++) {
		if (8 * k >= READ_ONCE(name->len))
			break;
		differ |= ((const __u64 *)value->carried_bytes)[k] ^ ((const __u64 *)name->bytes)[k];
		OPAQUE(differ);
	}
	return differ == 0;
}

/* Who has just been told an address uses it next: it is no old one. A busy workload's whole share may be younger than a second. */
static __always_inline void renew(struct fqdn_learned *value, __u64 now)
{
	if (now - value->born > SECOND / 256)
		value->born = now;
}

/*
 * The name is there already, under the present image, which says that the address may be learned. One that lasts as long
 * anyway needs nothing; to extend it, the name must be kept, and be the very same.
 */
static __noinline int learn_longer(struct fqdn_learned *value, const struct job *job)
{
	const struct scratch *s = job->s;
	const struct fqdn_pending *question = job->question;
	const struct fqdn_learned_name *fresh = &s->fresh;
	const struct fqdn_learned_key *key = &s->learned_key;
	int done = 0;

	if (!question)
		return 0;
	bpf_spin_lock(&value->lock);
	for (int i = 0; i < FQDN_LEARNED_NAMES; i++) {
		struct fqdn_learned_name *entry = &value->names[i];

		if (entry->name != fresh->name)
			continue;
		if (!(entry->learnable & LEARNABLE) || entry->generation != s->generation || fresh->generation != s->generation || entry->class != fresh->class ||
		    !is_same_element(value, key))
			break;
		done = entry->expiry >= fresh->expiry;
		if (!done && (value->carried == fresh->name ? carries(value, &question->name) : s->name_kept == NAME_KEPT)) {
			entry->expiry = fresh->expiry;
			entry->held = fresh->held;
			if (value->until < fresh->expiry)
				value->until = fresh->expiry;
			done = 1;
		}
		if (done)
			renew(value, s->now);
		break;
	}
	bpf_spin_unlock(&value->lock);
	return done;
}

/*
 * The room of `fresh` becomes that of the address's element, which no rule let reach so far, and whose own is given back. 0 = the
 * element has such room already, or is gone.
 */
APART int take_over(struct scratch *s)
{
	struct fqdn_learned_key key;
	struct fqdn_learned *value;
	__u64 first;
	__u32 share, slot;
	int idle;

	if (!s)
		return 0;
	key = s->learned_key; /* as in `find_name` */
	value = bpf_map_lookup_elem(&learned, &key);
	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	first = value->first;
	share = value->share;
	slot = value->slot;
	idle = is_same_element(value, &key) && !(share & GRANTED) && (s->fresh.learnable & GRANTED);
	if (idle) {
		value->first = s->fresh.name;
		value->share = s->fresh.learnable & (GRANTED | COMMON | HELD);
		value->slot = s->taken;
	}
	bpf_spin_unlock(&value->lock);
	if (idle)
		give_room(&key, first, share, slot);
	return idle;
}

/* The name has its address with another name, which counts it: it is none to spare while its own time lasts. */
static __always_inline void join_name(const struct scratch *s)
{
	__u64 key = s->name_key;
	struct fqdn_name *name = bpf_map_lookup_elem(&names, &key);

	if (name && !(name->share & JOINED))
		__sync_fetch_and_or(&name->share, JOINED);
}

/* The name joins the address's element, which is looked for again: a lock is taken only of what a map holds. */
#define BESIDE 1
#define BESIDE_IDLE 2 /* and it takes room of those that no rule lets reach, which the name is not */
APART int learn_beside(struct scratch *s, const struct fqdn_name *name)
{
	struct fqdn_learned_key key;
	struct fqdn_learned *value;
	int done;

	if (!s || !name)
		return 0;
	key = s->learned_key; /* as in `find_name` */
	value = bpf_map_lookup_elem(&learned, &key);
	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	done = is_same_element(value, &key) && (value->carried == s->fresh.name ? carries(value, name) : s->name_kept == NAME_KEPT) &&
	       add_name(value, &s->fresh, s->now);
	if (done)
		renew(value, s->now);
	if (done)
		done = (s->fresh.learnable & GRANTED) && !(value->share & GRANTED) ? BESIDE_IDLE : BESIDE;
	bpf_spin_unlock(&value->lock);
	if (done && s->name_kept == NAME_KEPT)
		join_name(s);
	return done;
}

/*
 * A guess, kept with the binding, at whether the address is in `learned`: to search for what is not there finds memory
 * that no cache holds, and then the update finds it again. Wrong, it costs that search, or a place that is merged.
 */
static __always_inline __u64 *seen(const struct job *job, __u64 *bit)
{
	const struct fqdn_learned_key *key = &job->s->learned_key;
	const __u64 *half = (const __u64 *)key->addr;
	__u64 hash = mix(half[0] ^ half[1] ^ key->netns);

	*bit = 1ULL << (hash & 63);
	return &job->binding->learned[hash >> 6 & (SEEN_WORDS - 1)];
}

static __always_inline bool seems_new(const struct job *job)
{
	__u64 bit, *word = seen(job, &bit);

	return !(READ_ONCE(*word) & bit);
}

/* A word that is nearly full tells nothing, and begins anew. */
static __always_inline void set_seen(const struct job *job)
{
	__u64 bit, *word = seen(job, &bit), have = READ_ONCE(*word);

	if (!(have & bit))
		READ_ONCE(*word) = (bits(have) < SEEN_MOST ? have : 0) | bit;
}

/* The name goes along with the one address that it has, if that is new and nobody will miss it in `names`. */
static __always_inline bool is_carried(const struct scratch *s, const struct fqdn_pending *question)
{
	return s->got == 1 && question->name.len <= FQDN_CARRIED_MAX;
}

/* An element with one name, whose text stands with it, or in `names`. */
static __always_inline void begin_element(struct scratch *s, const struct fqdn_name *name, bool carried)
{
	__builtin_memset(&s->learned, 0, sizeof(s->learned));
	s->learned.cgroup = s->learned_key.cgroup;
	s->learned.netns = s->learned_key.netns;
	__builtin_memcpy(s->learned.addr, s->learned_key.addr, 16);
	s->learned.names[0] = s->fresh;
	s->learned.share = s->fresh.learnable & (GRANTED | COMMON | HELD);
	s->learned.slot = s->taken;
	s->learned.born = s->now;
	s->learned.until = s->fresh.expiry;
	s->learned.first = s->fresh.name;
	if (!carried)
		return;
	s->learned.carried = s->name_key;
	s->learned.carried_len = name->len;
	for (int k = 0; k < FQDN_CARRIED_MAX / 8; k++)
		((__u64 *)s->learned.carried_bytes)[k] = ((const __u64 *)name->bytes)[k];
}

/* 0 = the address is there, or there is no room, for it or for what will remove it. */
static __noinline int add_element(struct scratch *s)
{
	if (bpf_map_update_elem(&learned, &s->learned_key, &s->learned, BPF_NOEXIST))
		return 0;
	if (queue_sweep(&s->learned_key, usage_of_workload(s->cgroup)))
		return 1;
	return bpf_map_delete_elem(&learned, &s->learned_key) != 0; /* who removed it before us has given its room back */
}

/*
 * The address is new, or seems so, and this its first name: into a warm place, or into `learned`. 0 = it is there, there is no
 * room, or the name's text would be nowhere.
 */
static __noinline int learn_alone(struct job *job)
{
	const struct fqdn_pending *question = job->question;
	struct scratch *s = job->s;

	if (!question || !(is_carried(s, question) || s->name_kept == NAME_KEPT))
		return 0;
	s->slot = 0;
	if (!make_room(s))
		return 0;
	if (!(s->tried && take_place(s, &question->name))) {
		begin_element(s, &question->name, is_carried(s, question));
		if (!add_element(s)) {
			give_back_room(s);
			return 0;
		}
	}
	set_seen(job);
	return 1;
}

/* The address of `flow.dest` is learned for the question's name, until the expiry of `fresh`; gives the reason to count. */
static __always_inline int learn_address(struct job *job)
{
	struct scratch *s = job->s;
	const struct fqdn_pending *question = job->question;
	struct fqdn_learned_key *key = &s->learned_key;
	struct fqdn_learned_name *fresh = &s->fresh;
	struct fqdn_learned *value;

	if (!question)
		return FQDN_COUNT_LEARNED_FULL;
	fresh->name = s->name_key;
	/* Asked under another image: judged anew, the address too, by whoever uses it. */
	fresh->generation = question->generation == s->generation ? s->generation : 0;
	fresh->held = minutes(fresh->expiry - s->now);
	fresh->class = question->class;
	fresh->plain = question->plain;
	set_learned_key(s);
	s->tried = is_carried(s, question) && seems_new(job);
	if (s->tried) {
		if (!may_learn(job))
			return FQDN_COUNT_ADDRESS_NEVER;
		if (learn_alone(job))
			return FQDN_COUNT_ADDRESS_LEARNED;
	}
	value = bpf_map_lookup_elem(&learned, key);
	if (value)
		set_seen(job);
	else if (s->tried) /* it was there, and over */
		return learn_alone(job) ? FQDN_COUNT_ADDRESS_LEARNED : FQDN_COUNT_LEARNED_FULL;
	if (value && learn_longer(value, job))
		return FQDN_COUNT_ADDRESS_LEARNED;
	if (!(value ? value->carried == s->name_key : is_carried(s, question)) && !keeps_name(s, &job->question->name))
		return FQDN_COUNT_NAMES_FULL;
	if (value && learn_longer(value, job))
		return FQDN_COUNT_ADDRESS_LEARNED;
	if (!may_learn(job))
		return FQDN_COUNT_ADDRESS_NEVER;
	if (!value) {
		if (learn_alone(job))
			return FQDN_COUNT_ADDRESS_LEARNED;
		value = bpf_map_lookup_elem(&learned, key);
		if (!value)
			return FQDN_COUNT_LEARNED_FULL;
		if (!keeps_name(s, &job->question->name))
			return FQDN_COUNT_NAMES_FULL;
	}
	switch (learn_beside(s, &job->question->name)) {
	case BESIDE:
		return FQDN_COUNT_ADDRESS_LEARNED;
	case BESIDE_IDLE: /* where there is no other room, it stays */
		s->slot = 0;
		if (take_room(s) == ROOM_TAKEN && !take_over(s))
			give_back_room(s);
		return FQDN_COUNT_ADDRESS_LEARNED;
	}
	/* Alone, after all: the sweep may just have ended the element, and removed it. */
	return learn_alone(job) ? FQDN_COUNT_ADDRESS_LEARNED : FQDN_COUNT_LEARNED_FULL;
}

#endif
