/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Removes what is over, without any process: a timer visits a slice of the queue each time, deletes what has
 * ended and queues the rest again. Expiry itself does not wait for it: every use compares the time. The same timer settles
 * what was learned lately.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "settle.h"

/* include/uapi/linux/time.h */
#define CLOCK_BOOTTIME 7
/* A host that sleeps, sleeps longer. */
#define SUSPENDED_LEAST (SECOND / 10)
/* A name stays this long after the last address learned for it. */
#define NAME_REST (60 * SECOND)

/* No address is held for it, and its workload is short of names. */
static __always_inline bool is_spare(const struct fqdn_name *name, __u64 now)
{
	__u64 owner = name->owner;
	const struct fqdn_usage *used = bpf_map_lookup_elem(&usage, &owner);

	return (__s32)name->share < HELD_ONE && (!(name->share & JOINED) || now > name->until) && used && now < used->short_of;
}

/*
 * 1 = every name is over, and the element nobody's: an answer that would renew it learns anew, once it is removed.
 * -1 = it is gone.
 */
static __always_inline int end_learned(const struct fqdn_learned_key *key, __u64 now, __u64 *first, __u32 *share, __u32 *slot)
{
	struct fqdn_learned *value = bpf_map_lookup_elem(&learned, key);
	int over = 1;

	if (!value)
		return -1;
	bpf_spin_lock(&value->lock);
	for (int i = 0; i < FQDN_LEARNED_NAMES; i++)
		if (value->names[i].name && now < value->names[i].expiry)
			over = 0;
	if (value->cgroup && !is_same_element(value, key))
		over = -1;
	else if (over)
		value->cgroup = 0;
	*first = value->first;
	*share = value->share;
	*slot = value->slot;
	bpf_spin_unlock(&value->lock);
	return over;
}

/* An item that is no entry's: all that were queued before it have been visited. */
#define ROUND ~0ULL

/* An item leaves the queue for good. */
static __always_inline long drop_item(__u64 cgroup)
{
	struct fqdn_usage *used = bpf_map_lookup_elem(&usage, &cgroup);

	if (used)
		give_share(&used->items);
	return 0;
}

static long sweep_step(__u32 i, struct clock **context)
{
	struct clock *clock = *context;
	struct fqdn_sweep_item item;
	__u64 now = present_time();

	if (bpf_map_pop_elem(&sweep, &item))
		return 1;
	clock->popped++;
	if (item.cgroup == ROUND) {
		clock->hurries = 0;
		return 0;
	}
	if (item.cgroup) {
		const struct fqdn_learned_key *key = (const void *)&item; /* the same fields */
		__u64 first;
		__u32 share, slot;
		int over = end_learned(key, is_gone(item.cgroup) ? ~0ULL : now, &first, &share, &slot);

		if (over < 0)
			return drop_item(item.cgroup);
		if (over) {
			if (bpf_map_delete_elem(&learned, key))
				goto again;
			give_room(key, first, share, slot);
			count(FQDN_COUNT_SWEPT_LEARNED);
			return drop_item(item.cgroup);
		}
	} else {
		struct fqdn_name *name = bpf_map_lookup_elem(&names, item.key);

		if (!name)
			return 0;
		if (now > name->until + NAME_REST || is_spare(name, now) || is_gone(name->owner)) {
			__u64 owner = name->owner;
			__u32 whose = name->share;

			if (bpf_map_delete_elem(&names, item.key) == 0)
				give_name_room(bpf_map_lookup_elem(&usage, &owner), whose);
			return drop_item(owner);
		}
	}
again:
	if (bpf_map_push_elem(&sweep, &item, BPF_ANY) == 0)
		clock->popped--;
	else
		count(FQDN_COUNT_SWEEP_LOST);
	return 0;
}

/*
 * A workload has ended, or items of what gave way fill the queue: it is worked off at once, as far as it is long now. An item of
 * what is gone is dropped when it is visited.
 */
static __always_inline void begin_round(struct clock *value)
{
	struct fqdn_sweep_item mark = { .cgroup = ROUND };
	__u32 zero = 0, at = POOL_QUEUED;
	const __u64 *deaths = bpf_map_lookup_elem(&gone, &zero);
	__u64 *queued = bpf_map_lookup_elem(&pool, &at), *crowded, deaths_now;

	at = POOL_CROWDED;
	crowded = bpf_map_lookup_elem(&pool, &at);
	if (!deaths || !queued)
		return;
	__sync_fetch_and_add(queued, -value->popped);
	value->popped = 0;
	if (value->hurries || (*deaths == value->gone && *queued < FQDN_SWEEP_CROWDED && !(crowded && *crowded)))
		return;
	deaths_now = *deaths;
	if (bpf_map_push_elem(&sweep, &mark, BPF_ANY) == 0) {
		value->gone = deaths_now;
		if (crowded)
			*crowded = 0;
		value->hurries = 1;
		value->popped--;
	}
}

static __always_inline __u64 next_run(const struct clock *value)
{
	return value->hurries ? FQDN_HURRY_US * 1000ULL : (value->unsettled ? FQDN_SETTLE_MS : FQDN_SWEEP_MS) * 1000000ULL;
}

static int sweep_slice(void *map, int *key, struct clock *value)
{
	__u64 start = bpf_ktime_get_ns(), took, suspended = bpf_ktime_get_boot_ns() - start;
	struct fqdn_node *node = the_node();

	/* The two clocks are read one after the other. A shift that went back would let a time stand still ahead of now. */
	if (node && suspended > node->suspended + SUSPENDED_LEAST)
		node->suspended = suspended;
	/* In turn, so that neither makes the other wait. */
	value->settles = !value->settles;
	begin_round(value);
	if (value->settles && value->unsettled)
		settle_slice(value);
	else
		bpf_loop(FQDN_SWEEP_SLICE, sweep_step, &value, 0);
	took = bpf_ktime_get_ns() - start;
	if (node && took > node->sweep_longest)
		node->sweep_longest = took;
	bpf_timer_start(&value->timer, next_run(value), 0);
	return 0;
}

/* The first packet that teaches starts the timer. */
static __always_inline void start_sweep(struct fqdn_node *node)
{
	__u32 zero = 0;
	struct clock *value;

	if (node->sweeping || __sync_val_compare_and_swap(&node->sweeping, 0, 1))
		return;
	value = bpf_map_lookup_elem(&clock, &zero);
	if (!value)
		return;
	bpf_timer_init(&value->timer, &clock, CLOCK_BOOTTIME);
	bpf_timer_set_callback(&value->timer, sweep_slice);
	bpf_timer_start(&value->timer, FQDN_SWEEP_MS * 1000000ULL, 0);
}

#endif
