/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A DNS query on its way out: one well-formed question for a name that may be asked, or refused. */
#ifndef QUERY_H
#define QUERY_H

#include "recall.h"

/* RFC 1035 section 4.1, RFC 6891 section 6.1.2 */
#define DNS_FLAG_QR 0x80
#define DNS_FLAG_TC 0x02
#define DNS_FLAG_RD 0x01
#define DNS_FLAG_RA 0x80
#define DNS_FLAG_CD 0x10
#define DNS_OPCODE 0x78
#define DNS_RCODE 0x0f
#define RCODE_NXDOMAIN 3
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define TYPE_OPT 41
#define TYPE_ANY 255
#define CLASS_IN 1

static __always_inline __u32 be16_at(struct scratch *s, __u32 at)
{
	return bpf_ntohs(*(__u16 *)(s->message + (at & (FQDN_MESSAGE_MAX - 1))));
}

static __always_inline __u32 be32_at(struct scratch *s, __u32 at)
{
	return bpf_ntohl(*(__u32 *)(s->message + (at & (FQDN_MESSAGE_MAX - 1))));
}

/* Copies the datagram's payload into `message`. False = longer than we read, or another length than its UDP header says. */
static __always_inline int load_message(struct job *job)
{
	struct scratch *s = job->s;
	struct __sk_buff *skb = job->skb;
	__u32 at = s->flow.payload;
	__u32 length = skb->len - at;

	if (skb->len < at || s->flow.udp_length != length + 8)
		return 0;
	OPAQUE(length);
	/*
	 * The lower bound is for 6.1 ("R4 invalid zero-sized read"). It comes second for 7.2, which keeps one arc of
	 * numbers for a register: here -8 to 0xfff7, from the check above; without 0 to 11 that would be two.
	 */
	if (length > FQDN_MESSAGE_MAX || length < DNS_HEADER)
		return 0;
	s->length = length;
	return bpf_skb_load_bytes(skb, at, s->message, length) == 0;
}

/* One question, class IN, at most one OPT behind it, nothing more. */
static __noinline int read_query(struct job *job)
{
	struct scratch *s = job->s;
	__u32 at;

	if (s->length > FQDN_QUERY_MAX)
		return 0;
	if (s->message[2] & (DNS_FLAG_QR | DNS_OPCODE | DNS_FLAG_TC))
		return 0;
	if (be16_at(s, 4) != 1 || be16_at(s, 6) || be16_at(s, 8) || be16_at(s, 10) > 1)
		return 0;
	if (!read_question_name(s))
		return 0;
	at = s->after;
	if (at + 4 > s->length || be16_at(s, at + 2) != CLASS_IN)
		return 0;
	s->qtype = be16_at(s, at);
	at += 4;
	if (be16_at(s, 10)) {
		if (at + 11 > s->length || s->message[at & (FQDN_MESSAGE_MAX - 1)] || be16_at(s, at + 1) != TYPE_OPT)
			return 0;
		at += 11 + be16_at(s, at + 9);
	}
	return at == s->length;
}

/* May the question's name be asked of this server? */
static __noinline int may_ask(struct job *job)
{
	const struct fqdn_node *node = the_node();
	struct scratch *s = job->s;

	if (!node)
		return 0;
	/* First what is remembered with the question, which in audit mode is asked in any case. */
	walk_name(job);
	s->plain = 0;
	if (s->has_star)
		read_plain(job);
	find_asked_word(job);
	if (was_allowed(job, node))
		return 1;
	s->epoch = READ_ONCE(node->epoch);
	barrier();
	s->entries = resolver_entries(s->generation, &s->flow.dest);
	if (is_denied(job))
		return 0;
	s->usage = USE_ASK;
	s->any_port = 0;
	s->with_any = 1;
	s->with_star = s->plain;
	judge_name(job);
	s->server_class = NO_CLASS;
	if (!judge(job))
		return 0;
	if (s->asked_word && !s->by_address)
		remember_allowed(job, node);
	return 1;
}

static __always_inline int is_asked(const struct fqdn_pending *have, const struct fqdn_question *asked)
{
	const __u64 *a = (const __u64 *)&have->asked, *b = (const __u64 *)asked;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline int is_waiting(const struct fqdn_pending *have, __u64 now)
{
	return have->time && (__s64)(now - have->time) <= (__s64)(FQDN_PENDING_MS * 1000000ULL);
}

static __always_inline int take_pending(struct fqdn_pending *have)
{
	return __sync_val_compare_and_swap(&have->busy, 0, 1) == 0;
}

static __always_inline void give_pending(struct fqdn_pending *have)
{
	if (have)
		__sync_lock_test_and_set(&have->busy, 0);
}

/*
 * Where to look for the question in `asked`: a page, and in `first` its first place there. The socket has a page of its
 * own, where nearly all sockets find a place, again and again the same; a busy one goes to one of all pages for each
 * question. The workload can make its own collide, and nobody else's.
 */
static __always_inline struct fqdn_pending_page *pending_page(const struct scratch *s, bool busy, __u32 *first)
{
	const __u64 *word = (const __u64 *)&s->asked;
	__u64 hash = word[0] * 0x9e3779b97f4a7c15ULL;
	struct fqdn_pending_key key = { .cgroup = s->cgroup };

	if (busy)
		hash ^= word[1] ^ word[2] * 0xff51afd7ed558ccdULL ^ (word[3] << 17 | word[3] >> 47);
	hash = mix(hash);
	key.page = hash % FQDN_PENDING_PAGES;
	*first = hash >> 32;
	return bpf_map_lookup_elem(&pending, &key);
}

/* Places to look at: A and AAAA are asked at once. */
#define PENDING_WAYS_OF(busy) ((busy) ? FQDN_PENDING_WAYS : 2)

#define PENDING_PLACE(page, first, way) (&(page)->slots[((first) + (way)) & (FQDN_PENDING_SLOTS - 1)])

/* The server that is asked, or that answers. */
static __always_inline void set_asked(struct scratch *s, __u64 cookie, const union address *server, __u16 port)
{
	s->asked.cookie = cookie;
	__builtin_memcpy(s->asked.server, server->bytes, 16);
	s->asked.id = *(__u16 *)s->message;
	s->asked.port = port;
	s->asked.proto = s->flow.proto;
}

/* Its answer has come. */
static __always_inline void forget_question(struct fqdn_pending *question)
{
	if (question)
		question->time = 0;
}

static __always_inline bool is_free(const struct fqdn_pending *have, const struct scratch *s)
{
	return !is_waiting(have, s->now) || is_asked(have, &s->asked);
}

/* The place is free for the question in `asked`; with `spilled`: it holds the question, which waits. */
static __always_inline bool suits(const struct fqdn_pending *have, const struct scratch *s)
{
	return s->spilled ? is_asked(have, &s->asked) && is_waiting(have, s->now) : is_free(have, s);
}

/* A place in the page, taken: the question's own or a free one. Else NULL; `oldest` is the one to give way. */
static __always_inline struct fqdn_pending *free_place(const struct scratch *s, bool busy, struct fqdn_pending **oldest)
{
	struct fqdn_pending *have;
	struct fqdn_pending_page *page;
	__u32 first;

	page = pending_page(s, busy, &first);
	if (!page)
		return NULL;
	ROLLED for (__u32 way = 0; way < PENDING_WAYS_OF(busy); way++) {
		have = PENDING_PLACE(page, first, way);
		if (is_free(have, s) && take_pending(have)) {
			if (is_free(have, s)) /* still, now that it is ours */
				return have;
			give_pending(have);
		}
		/* Not one that is being learned from. */
		if (have->time && (!*oldest || have->time < (*oldest)->time))
			*oldest = have;
	}
	return NULL;
}

/* Looks at a page for a place that is free for the question in `asked`, or, with `spilled`, for the one that holds it. */
static long spot_step(__u32 i, struct scratch **context)
{
	struct scratch *s = *context;
	struct fqdn_pending_key key = { .cgroup = s->cgroup, .page = i };
	struct fqdn_pending_page *page = bpf_map_lookup_elem(&pending, &key);

	if (!page)
		return 0;
	ROLLED for (__u32 k = 0; k < FQDN_PENDING_SLOTS; k++) {
		struct fqdn_pending *have = &page->slots[k];

		if (!suits(have, s) || !take_pending(have))
			continue;
		if (suits(have, s)) { /* still, now that it is ours */
			s->spot = 1 + i * FQDN_PENDING_SLOTS + k;
			return 1;
		}
		give_pending(have);
	}
	return 0;
}

/*
 * Every page, one after the other: a workload with nearly as many questions as places finds one all the same. About 2 us, and
 * only then.
 */
static __noinline struct fqdn_pending *find_spot(struct scratch *s, bool waiting)
{
	struct fqdn_pending_key key = { .cgroup = s->cgroup };
	struct fqdn_pending_page *page;

	if (!s->left.searched)
		return NULL;
	s->left.searched--;
	s->spot = 0;
	s->spilled = waiting;
	bpf_loop(FQDN_PENDING_PAGES, spot_step, &s, 0);
	if (!s->spot)
		return NULL;
	key.page = (s->spot - 1) / FQDN_PENDING_SLOTS;
	page = bpf_map_lookup_elem(&pending, &key);
	return page ? &page->slots[(s->spot - 1) & (FQDN_PENDING_SLOTS - 1)] : NULL;
}

/* A place for the question in `asked`, taken; if need be that of an older one. NULL = not now. */
static __always_inline struct fqdn_pending *place_for_question(struct scratch *s)
{
	struct fqdn_usage *used;
	bool busy = s->busy_socket;
	struct fqdn_pending *oldest = NULL, *have = free_place(s, busy, &oldest);

	if (have)
		return have;
	s->busy_socket = 1;
	have = free_place(s, !busy, &oldest);
	if (have)
		return have;
	used = usage_of_workload(s->cgroup);
	have = used ? find_spot(s, false) : NULL;
	if (have) {
		used->spilled = s->now + FQDN_PENDING_MS * 1000000ULL;
		return have;
	}
	count(FQDN_COUNT_QUERY_PENDING_FULL);
	return oldest && take_pending(oldest) ? oldest : NULL;
}

/* Remembers the question for the answer of the server in `asked`; `generation` = that of its class. */
APART int await_answer(struct scratch *s, __u64 generation)
{
	struct fqdn_pending *question = s ? place_for_question(s) : NULL;

	if (!s || !question)
		return 0;
	question->time = s->now;
	question->asked = s->asked;
	question->generation = generation;
	question->class = s->class;
	question->plain = s->plain;
	question->resolver = s->entries && same_address(s->asked.server, &s->flow.dest);
	question->qtype = s->qtype;
	question->mute = s->mute != 0;
	question->name.owner = s->cgroup;
	question->name.len = s->name_len;
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		if (8 * k >= READ_ONCE(s->name_len))
			break;
		((__u64 *)question->name.bytes)[k] = ((const __u64 *)s->name)[k];
	}
	give_pending(question);
	return 1;
}

#endif
