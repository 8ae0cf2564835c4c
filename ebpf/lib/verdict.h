/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Refusing, and the policy that a judgement needs. */
#ifndef VERDICT_H
#define VERDICT_H

#include "answer.h"

#define PASS 1
#define DROP 0
/* How a query is refused: the two bits of IMAGE_REFUSE_SHIFT, which ride in the mark. 0 = in silence. */
#define REFUSE_BITS 3

static __always_inline bool is_audited(__u64 cgroup)
{
	struct fqdn_workload *workload = bpf_map_lookup_elem(&workloads, &cgroup);

	return workload && workload->mode == FQDN_MODE_AUDIT;
}

/* What a workload in audit mode would have been refused is counted and passed. */
static __noinline int refuse(__u64 cgroup, __u32 reason)
{
	count(reason);
	if (is_audited(cgroup)) {
		count(FQDN_COUNT_ALLOWED_AUDIT);
		return PASS;
	}
	return DROP;
}

/* 0, or why the workload is denied. */
static __always_inline int open_head(struct job *job, const struct fqdn_image_head **head)
{
	if (!open_image(job))
		return FQDN_COUNT_IMAGE_MISSING;
	*head = job->head;
	return 0;
}

static __always_inline int open_policy(struct job *job, __u64 cgroup, const struct fqdn_image_head **head)
{
	int why = open_head(job, head);

	return why ? why : open_binding(job, cgroup, *head);
}

/*
 * A working buffer, and what a judgement begins with. 0, or why there is none. `sock`: what was learned counts in the
 * socket's network namespace; unknown = only for other such sockets.
 */
static __always_inline int begin(struct job *job, const struct fqdn_image_head *head, __u64 cgroup, const struct fqdn_sock *sock, const struct flow *f)
{
	struct scratch *s;

	if (!open_tables(job))
		return FQDN_COUNT_IMAGE_MISSING;
	s = take_scratch();
	if (!s)
		return FQDN_COUNT_SCRATCH_BUSY;
	job->s = s;
	s->generation = head->generation;
	s->has_star = head->flags & FQDN_IMAGE_STAR;
	s->cgroup = cgroup;
	s->netns = sock ? sock->netns : 0;
	s->busy_socket = sock ? sock->flags & FQDN_SOCK_BUSY : 0;
	s->now = present_time();
	s->flow = *f;
	s->left.names = NAMES_BUDGET;
	s->left.learned = FQDN_ADDRESSES_MAX;
	s->left.vain = VAIN_MOST;
	s->left.searched = SEARCHED_MOST;
	return 0;
}

/* RFC 1035 section 4.1.1, RFC 2308 section 2: NXDOMAIN, no data, REFUSED. */
static __always_inline __u8 refusal_code(__u32 how)
{
	return how == 1 ? 3 : how == 2 ? 0 : 5;
}

static __always_inline __u32 refusal_of(const struct fqdn_image_head *head)
{
	return head->flags >> FQDN_IMAGE_REFUSE_SHIFT & REFUSE_BITS;
}

/*
 * A message of another opcode than QUERY (UPDATE, NOTIFY): it asks nothing that an answer could teach, and is not read. It may go
 * where a rule opens the port without names; to a resolver only if the profile trusts the workload with what it writes there.
 */
static __noinline int may_send_other(struct job *job)
{
	struct scratch *s = job->s;

	s->entries = resolver_entries(s->generation, &s->flow.dest);
	if ((s->message[2] & DNS_FLAG_QR) || (s->entries && !(job->head->flags & FQDN_IMAGE_UPDATES)) || is_denied(job))
		return 0;
	s->usage = USE_ASK;
	s->any_port = 0;
	s->with_any = 1;
	s->with_star = 0;
	s->judged_n = 0;
	s->server_class = NO_CLASS;
	return judge(job);
}

/* A message to a DNS port, read into `job->s`, whose server is in `flow`: may its question be asked? 0, or why not. */
static __always_inline int judge_message(struct job *job)
{
	struct scratch *s = job->s;

	s->other = (s->message[2] & DNS_OPCODE) != 0;
	if (READ_ONCE(s->other))
		return may_send_other(job) ? 0 : FQDN_COUNT_QUERY_MALFORMED;
	if (!read_query(job))
		return FQDN_COUNT_QUERY_MALFORMED;
	return may_ask(job) ? 0 : FQDN_COUNT_QUERY_REFUSED;
}

/* Some name may be asked of this server: the handshake may go there, what is asked is judged later. */
static __noinline int is_named_server(struct job *job)
{
	struct scratch *s = job->s;
	int named;

	if (is_denied(job))
		return 0;
	s->usage = USE_ASK;
	s->any_port = 0;
	s->with_any = 0;
	s->with_star = 0;
	s->with_server = 1;
	s->judged_n = 0;
	s->entries = resolver_entries(s->generation, &s->flow.dest);
	s->server_class = NO_CLASS;
	named = judge(job);
	s->with_server = 0;
	return named;
}

#endif
