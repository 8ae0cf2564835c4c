/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Brings what was learned lately to `learned`, a slice at a time. */
#ifndef SETTLE_H
#define SETTLE_H

#include "learn.h"

/* To merge with an element that is there takes as long as so many that are added: the name's text may have to be added, too. */
#define MERGED 4
/* Where there is no room for so many, there is none for more. */
#define REFUSED_MOST 16

/* Its cgroup was removed, or it was unbound: what it has learned is nobody's. */
static __always_inline bool is_gone(__u64 cgroup)
{
	const struct fqdn_workload *workload = bpf_map_lookup_elem(&workloads, &cgroup);

	return !workload || workload->mode == FQDN_MODE_GONE;
}

/* The place's content, as an answer would have left it in the buffer. 0 = it is free. */
static __always_inline int read_place(struct scratch *s, struct fqdn_recent *place)
{
	bpf_spin_lock(&place->lock);
	s->cgroup = place->cgroup;
	s->learned_key.cgroup = place->cgroup;
	s->learned_key.netns = place->netns;
	__builtin_memcpy(s->learned_key.addr, place->addr, 16);
	s->fresh = place->name;
	s->read.len = place->len;
	s->taken = place->slot;
	for (int k = 0; k < FQDN_CARRIED_MAX / 8; k++)
		((__u64 *)s->read.bytes)[k] = ((const __u64 *)place->bytes)[k];
	bpf_spin_unlock(&place->lock);
	s->read.owner = s->cgroup;
	s->name_key = s->fresh.name;
	s->holds_from = s->fresh.expiry;
	s->longest = 0;
	return s->cgroup != 0;
}

/* It has come to `learned`. Where the address was already, it has room of its workload's there, too. */
static __noinline int settle(struct scratch *s)
{
	struct fqdn_learned *value;

	begin_element(s, &s->read, true);
	if (add_element(s))
		return 1;
	value = bpf_map_lookup_elem(&learned, &s->learned_key);
	if (!value)
		return 0;
	s->settled += MERGED - 1;
	s->name_kept = NAME_NOT_LOOKED_FOR;
	if (value->carried != s->name_key)
		keeps_name(s, &s->read);
	switch (learn_beside(s, &s->read)) {
	case 0:
		return 0;
	case BESIDE_IDLE:
		if (take_over(s))
			return 1;
	}
	give_back_room(s);
	return 1;
}

static long settle_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at = s->place_at & (FQDN_RECENT - 1);
	struct fqdn_recent *place = bpf_map_lookup_elem(&recent, &at);

	if (s->settled >= FQDN_SETTLE_SLICE || s->unsettled >= REFUSED_MOST) {
		s->unsettled++;
		return 1;
	}
	s->place_at = at + 1;
	if (!place || !READ_ONCE(place->cgroup) || !read_place(s, place))
		return 0;
	s->settled++;
	if (s->now >= s->fresh.expiry || is_gone(s->cgroup)) {
		give_back_room(s);
		count(FQDN_COUNT_SWEPT_LEARNED);
	} else if (!settle(s)) { /* no room: it stays until there is, or until it is over */
		s->unsettled++;
		return 0;
	}
	bpf_spin_lock(&place->lock);
	place->cgroup = 0;
	bpf_spin_unlock(&place->lock);
	return 0;
}

static __always_inline void settle_slice(struct clock *present)
{
	struct job job = {};

	/* Before the places are looked at: what is learned meanwhile says so again. */
	__sync_lock_test_and_set(&present->unsettled, 0);
	job.s = take_scratch();
	if (!job.s) {
		present->unsettled = 1;
		return;
	}
	job.s->now = present_time();
	job.s->settled = 0;
	job.s->unsettled = 0;
	job.s->place_at = present->place;
	bpf_loop(FQDN_RECENT, settle_step, &job, 0);
	present->place = job.s->place_at;
	if (job.s->unsettled)
		present->unsettled = 1;
	give_back(job.s);
}

#endif
