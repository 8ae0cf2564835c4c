/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From class to verdict: class -> selectors -> grants of the workload's subjects -> ports and servers.
 * image/src/judge.rs takes the same steps.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "walk.h"

#define NO_GRANT 0xffffffffU
/* Of an address that has not been looked up yet. */
#define NO_CLASS 0xffffffffU
#define NOT_KNOWN 2
/* Selectors of a class, times subjects, times a few grants each. */
#define JUDGE_STEPS 131072
#define SEARCH_STEPS 32

/* What a grant is for. */
#define USE_REACH 0
#define USE_ASK 1
#define USE_DENY 2

static __always_inline long interval_step(struct job *job)
{
	struct scratch *s = job->s;
	struct fqdn_interval *interval;
	__u32 middle;

	if (s->high - s->low <= 1)
		return 1;
	middle = s->low + (s->high - s->low) / 2;
	interval = RECORD(job, job->rows->cidrs, middle, struct fqdn_interval);
	if (!interval)
		return 1;
	if (interval->high < s->address[0] || (interval->high == s->address[0] && interval->low <= s->address[1]))
		s->low = middle;
	else
		s->high = middle;
	return 0;
}

static long interval_steps(__u32 i, struct job *job)
{
	return SEVERAL(interval_step, job);
}

/* Class of an address: the interval that holds it. Whether it is this host's no image can say: `kind_holds` asks. */
static __noinline __u32 address_class(struct job *job, const union address *address)
{
	struct scratch *s = job->s;
	struct fqdn_interval *interval;

	s->address[0] = bpf_be64_to_cpu(address->half[0]);
	s->address[1] = bpf_be64_to_cpu(address->half[1]);
	s->local = NOT_KNOWN;
	s->low = 0;
	s->high = job->rows->cidrs_n;
	bpf_loop(SEARCH_STEPS / AT_ONCE, interval_steps, job, 0);
	interval = RECORD(job, job->rows->cidrs, s->low, struct fqdn_interval);
	return interval ? interval->class : 0;
}

static __always_inline __u32 member(struct job *job, __u32 index)
{
	__u32 *id = RECORD(job, job->rows->members, index, __u32);

	return id ? *id : 0;
}

/* The selectors of a class as members `first` to `first + left`, or one selector. */
static __always_inline __u32 open_class(struct job *job, __u32 class, __u32 *first, __u32 *left)
{
	struct fqdn_span *span;

	*left = 0;
	if (class <= job->rows->selectors_n)
		return class;
	span = RECORD(job, job->rows->classes, class - job->rows->selectors_n - 1, struct fqdn_span);
	if (!span)
		return 0;
	*first = span->first;
	*left = span->count;
	return 0;
}

static long holds_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;

	if (i >= s->high)
		return 1;
	if (member(job, s->low + i) != s->wanted)
		return 0;
	s->found = 1;
	return 1;
}

/* The class holds the selector. */
static __noinline int class_holds(struct job *job, __u32 class, __u32 selector)
{
	struct scratch *s = job->s;

	if (open_class(job, class, &s->low, &s->high) == selector)
		return 1;
	s->wanted = selector;
	s->found = 0;
	bpf_loop(FQDN_CLASS_MAX, holds_step, job, 0);
	return s->found;
}

static long port_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct fqdn_port_range *range;

	if (s->low >= s->high)
		return 1;
	range = RECORD(job, job->rows->ranges, s->low, struct fqdn_port_range);
	if (!range)
		return 1;
	s->low++;
	if (range->proto != s->flow.proto || s->flow.dest_port < range->low || s->flow.dest_port > range->high)
		return 0;
	s->found = 1;
	return 1;
}

static __always_inline int ports_hold(struct job *job, __u32 set)
{
	struct scratch *s = job->s;
	struct fqdn_span *span;

	if (set == FQDN_PORTS_ANY || s->any_port)
		return 1;
	span = RECORD(job, job->rows->sets, set, struct fqdn_span);
	if (!span)
		return 0;
	s->low = span->first;
	s->high = span->first + span->count;
	s->found = 0;
	bpf_loop(65536, port_step, job, 0);
	return s->found;
}

/* A selector of addresses may leave out this host's, or mean them alone. */
static __always_inline int kind_holds(struct scratch *s, __u32 kind)
{
	__u64 address[2];

	if (kind < FQDN_KIND_ELSEWHERE)
		return 1;
	if (s->local == NOT_KNOWN) {
		address[0] = bpf_cpu_to_be64(s->address[0]);
		address[1] = bpf_cpu_to_be64(s->address[1]);
		s->local = bpf_map_lookup_elem(&locals, address) != NULL;
	}
	return (kind == FQDN_KIND_HERE) == s->local;
}

static __always_inline int server_holds(struct job *job, __u32 servers)
{
	__u32 id = servers & ~FQDN_SERVERS_CIDR;
	struct scratch *s = job->s;
	struct fqdn_selector *selector;

	if (!(servers & FQDN_SERVERS_CIDR))
		return (servers & s->entries) != 0;
	if (s->server_class == NO_CLASS)
		s->server_class = address_class(job, &s->flow.dest);
	selector = RECORD(job, job->rows->selectors, id - 1, struct fqdn_selector);
	return selector && kind_holds(s, selector->kind) && class_holds(job, s->server_class, id);
}

static __always_inline __u32 usage_of(const struct fqdn_grant *grant)
{
	return grant->servers == 0 ? USE_REACH : grant->servers == FQDN_SERVERS_DENY ? USE_DENY : USE_ASK;
}

static long search_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct fqdn_grant *grant;
	__u32 middle;

	if (s->low >= s->high)
		return 1;
	middle = s->low + (s->high - s->low) / 2;
	grant = RECORD(job, job->rows->grants, middle, struct fqdn_grant);
	if (!grant)
		return 1;
	if (grant->subject < s->subject)
		s->low = middle + 1;
	else
		s->high = middle;
	return 0;
}

/* First grant of the selector whose subject is not below ours. */
static __always_inline __u32 search_grant(struct job *job)
{
	struct scratch *s = job->s;

	s->low = s->grant;
	s->high = s->grant_end;
	bpf_loop(SEARCH_STEPS, search_step, job, 0);
	return s->low;
}

static __always_inline __u32 next_selector(struct job *job)
{
	struct scratch *s = job->s;
	__u32 turn;

	if (s->turn == 0 && !s->with_any)
		s->turn++;
	if (s->turn == 1 && !s->with_star && !s->with_server)
		s->turn++;
	turn = s->turn++;
	if (turn == 0)
		return FQDN_SELECTOR_ANY;
	if (turn == 1)
		return s->with_star ? FQDN_SELECTOR_STAR : FQDN_SELECTOR_SERVER;
	if (turn == 2) {
		if (s->judged_at >= s->judged_n) {
			s->done = 1;
			return 0;
		}
		return open_class(job, s->judged[s->judged_at++ & (FQDN_LAYERS_MAX - 1)], &s->members_first, &s->members_left);
	}
	if (turn - 3 < s->members_left)
		return member(job, s->members_first + turn - 3);
	s->turn = 2;
	return 0;
}

/*
 * One round looks at one thing: 1. the next selector, 2. the next subject's first grant of it, 3. one grant.
 */
static long judge_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct fqdn_selector *selector;
	struct fqdn_grant *grant;

	if (!s->selector) { /* 1 */
		__u32 id = next_selector(job);

		if (s->done)
			return 1;
		if (!id)
			return 0;
		selector = RECORD(job, job->rows->selectors, id - 1, struct fqdn_selector);
		if (!selector)
			return 1;
		s->grant = selector->grants;
		s->grant_end = selector->grants + selector->grants_n;
		s->subject_at = 0;
		s->subject = NO_GRANT;
		s->selector = s->grant == s->grant_end || !kind_holds(s, selector->kind) ? 0 : id;
		if (!s->selector)
			return 0;
	}
	if (s->subject == NO_GRANT) { /* 2 */
		if (s->subject_at >= job->binding->count) {
			s->selector = 0;
			return 0;
		}
		s->subject = job->binding->subjects[s->subject_at & (FQDN_SUBJECTS_MAX - 1)];
		s->subject_at++;
		s->grant = search_grant(job);
	}
	grant = s->grant < s->grant_end ? RECORD(job, job->rows->grants, s->grant, struct fqdn_grant) : NULL; /* 3 */
	if (!grant || grant->subject != s->subject) {
		s->subject = NO_GRANT;
		return 0;
	}
	s->grant++;
	if (usage_of(grant) != s->usage)
		return 0;
	if (s->usage == USE_ASK && !server_holds(job, grant->servers))
		return 0;
	if (!ports_hold(job, grant->ports))
		return 0;
	s->allowed = 1;
	s->by_address = s->usage == USE_ASK && (grant->servers & FQDN_SERVERS_CIDR);
	return 1;
}

/* Does a grant of the workload's subjects allow what the input says? `allowed`, `by_address`. */
static __always_inline int judge(struct job *job)
{
	struct scratch *s = job->s;

	s->turn = 0;
	s->judged_at = 0;
	s->members_left = 0;
	s->selector = 0;
	s->done = 0;
	s->allowed = 0;
	bpf_loop(JUDGE_STEPS, judge_step, job, 0);
	return s->allowed;
}

static __always_inline void judge_one(struct scratch *s, __u32 class)
{
	s->judged[0] = class;
	s->judged_n = 1;
}

/* The name just walked: its class of every layer. */
static __always_inline void judge_name(struct job *job)
{
	struct scratch *s = job->s;

	for (int i = 0; i < FQDN_LAYERS_MAX; i++)
		s->judged[i] = s->classes[i];
	s->judged_n = job->rows->layers;
}

/* The generation under which one class says all of a name. With several layers none: the name is walked each time. */
static __always_inline __u64 class_generation(const struct job *job)
{
	return job->rows->layers == 1 ? job->s->generation : 0;
}

static __noinline int denial_holds(struct job *job)
{
	struct scratch *s = job->s;

	s->usage = USE_DENY;
	s->any_port = 0;
	s->with_any = 0;
	s->with_star = 0;
	judge_one(s, address_class(job, &s->flow.dest));
	return judge(job);
}

/* Is the flow's destination denied, whatever else allows it? */
static __always_inline int is_denied(struct job *job)
{
	return job->binding->flags & FQDN_BINDING_DENIES ? denial_holds(job) : 0;
}

#endif
