/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A DNS query on its way out: one well-formed question for a name that may be asked, or refused. */
#ifndef QUERY_H
#define QUERY_H

#include "workload.h"

/* RFC 1035 section 4.1, RFC 6891 section 6.1.2 */
#define DNS_HEADER 12
#define DNS_FLAG_QR 0x80
#define DNS_FLAG_TC 0x02
#define DNS_FLAG_RD 0x01
#define DNS_FLAG_RA 0x80
#define DNS_FLAG_CD 0x10
#define DNS_OPCODE 0x78
#define DNS_RCODE 0x0f
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define TYPE_OPT 41
#define TYPE_ANY 255
#define CLASS_IN 1

static __always_inline __u32 be16_at(struct scratch *s, __u32 at)
{
	at &= FQDN_MESSAGE_MAX - 1;
	return s->message[at] << 8 | s->message[at + 1];
}

static __always_inline __u32 be32_at(struct scratch *s, __u32 at)
{
	return be16_at(s, at) << 16 | be16_at(s, at + 2);
}

/* Copies the datagram's payload into `message`. False = longer than we read, or another length than its UDP header says. */
static __always_inline int load_message(struct job *job)
{
	struct scratch *s = job->s;
	struct __sk_buff *skb = job->skb;
	__u32 at = s->flow.payload;
	__u32 length = skb->len - at;
	__u8 udp_length[2];

	if (skb->len < at || bpf_skb_load_bytes(skb, at - 4, udp_length, 2))
		return 0;
	if ((udp_length[0] << 8 | udp_length[1]) != length + 8)
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
	if (!read_name(job, DNS_HEADER))
		return 0;
	at = s->after;
	if (at + 4 > s->length || be16_at(s, at + 2) != CLASS_IN)
		return 0;
	s->question.qtype = be16_at(s, at);
	at += 4;
	if (be16_at(s, 10)) {
		if (at + 11 > s->length || s->message[at & (FQDN_MESSAGE_MAX - 1)] || be16_at(s, at + 1) != TYPE_OPT)
			return 0;
		at += 11 + be16_at(s, at + 9);
	}
	if (at != s->length)
		return 0;
	take_question(s);
	return 1;
}

/* May the question's name be asked of this server? */
static __noinline int may_ask(struct job *job)
{
	struct scratch *s = job->s;

	if (is_denied(job))
		return 0;
	walk_name(job);
	s->plain = 0;
	if (s->has_star)
		read_plain(job);
	s->usage = USE_ASK;
	s->any_port = 0;
	s->with_any = 1;
	s->with_star = s->plain;
	judge_name(job);
	s->entries = resolver_entries(s->generation, &s->flow.dest);
	s->server_class = NO_CLASS;
	return judge(job);
}

/* The element of an LRU may be taken anew while it is read: name and class must have been written together. */
static __noinline __u64 seal_question(struct job *job, const struct fqdn_node *node)
{
	struct fqdn_pending *q = &job->s->question;
	__u64 seal = hash_name(job, node);

	job->s->name_key = seal;
	seal = mix(seal ^ q->generation ^ node->secret[0]);
	seal = mix(seal ^ q->cgroup ^ node->secret[1]);
	seal = mix(seal ^ ((__u64)q->class << 32 | (__u64)q->plain << 16 | q->qtype));
	for (int i = 0; i < 4; i++)
		seal = mix(seal ^ ((const __u64 *)&q->cookie)[i]);
	return seal;
}

_Static_assert(sizeof(struct fqdn_question) == sizeof(struct fqdn_pending) - __builtin_offsetof(struct fqdn_pending, cookie), "a question is the end of its record");

static __always_inline int is_asked(const struct fqdn_pending *have, const struct fqdn_question *asked)
{
	const __u64 *a = &have->cookie, *b = (const __u64 *)asked;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Where the search for the question in `asked` begins. The workload can make its own collide, and nobody else's. */
static __always_inline __u64 place_of(const struct scratch *s)
{
	const __u64 *word = (const __u64 *)&s->asked;

	return mix(mix(mix(word[0] ^ word[3]) ^ word[1]) ^ word[2]);
}

/* Its answer has come. */
static __always_inline void forget_question(struct scratch *s)
{
	bpf_map_delete_elem(&pending, &s->place);
}

/* The server that is asked, or that answers. */
static __always_inline void set_asked(struct scratch *s, __u64 cookie, const union address *server, __u16 port)
{
	s->asked.cookie = cookie;
	__builtin_memcpy(s->asked.server, server->bytes, 16);
	s->asked.id = *(__u16 *)s->message;
	s->asked.port = port;
	s->asked.proto = s->flow.proto;
}

/* Remembers the question for the answer of the server in `asked`. */
static __noinline int await_answer(struct job *job, const struct fqdn_sock *sock, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	__u64 first = place_of(s), oldest = ~0ULL, victim = 0;

	s->question.generation = class_generation(job);
	s->question.time = s->now;
	s->question.cgroup = s->cgroup;
	s->question.class = s->class;
	s->question.plain = s->plain;
	s->question.tgid = 0;
	if (sock) {
		s->question.tgid = sock->tgid;
		__builtin_memcpy(s->question.comm, sock->comm, 16);
	}
	__builtin_memcpy(&s->question.cookie, &s->asked, sizeof(s->asked));
	s->question.seal = seal_question(job, node);
	s->place.cgroup = s->cgroup;
	for (int way = 0; way < FQDN_PENDING_WAYS; way++) {
		struct fqdn_pending *have;

		s->place.slot = (first + way) & (FQDN_PENDING_SLOTS - 1);
		have = bpf_map_lookup_elem(&pending, &s->place);
		if (!have) {
			if (bpf_map_update_elem(&pending, &s->place, &s->question, BPF_NOEXIST) == 0)
				return 1;
			continue;
		}
		if (is_asked(have, &s->asked) || s->now - have->time > FQDN_PENDING_MS * 1000000ULL) {
			victim = s->place.slot;
			oldest = 0;
			break;
		}
		if (have->time < oldest) {
			oldest = have->time;
			victim = s->place.slot;
		}
	}
	if (oldest)
		count(FQDN_COUNT_QUERY_PENDING_FULL);
	s->place.slot = victim & (FQDN_PENDING_SLOTS - 1);
	return bpf_map_update_elem(&pending, &s->place, &s->question, BPF_ANY) == 0;
}

#endif
