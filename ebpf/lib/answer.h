/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A DNS answer on its way in. It is never dropped; it teaches only if everything about it holds, and then
 * before the application sees it.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "chain.h"
#include "learn.h"

/* What a pointer can reach (RFC 1035 section 4.1.4). */
#define POINTER_REACH 0x4000

/* The owner name at `at` is the chain's present name: 1 or 0; -1 = malformed. Sets `after`. */
static __always_inline int owner_is_ours(struct scratch *s, __u32 at)
{
	__u32 word = be16_at(s, at);
	int ours;

	/* Most owners are a pointer to where that name stands. */
	if (at + 2 <= s->length && s->owner_at < POINTER_REACH && word == (0xc000 | s->owner_at)) {
		s->after = at + 2;
		return 1;
	}
	/* Else they are the pointer that the one before was, which was followed: 512 of them would take all that a packet may (`left.names`). */
	if (at + 2 <= s->length && word >= 0xc000 && word == s->owner_word) {
		s->after = at + 2;
		return s->owner_ours;
	}
	/* The root owns OPT, of which a message may have thousands that teach nothing. */
	if (at < s->length && !s->message[at & (FQDN_MESSAGE_MAX - 1)]) {
		s->after = at + 1;
		return !s->message[s->owner_at & (FQDN_MESSAGE_MAX - 1)];
	}
	if (s->chain_at != s->owner_at) {
		if (!read_name(s, s->owner_at))
			return -1;
		ROLLED for (int k = 0; k < NAME_WORDS; k++)
			((__u64 *)s->chain.bytes)[k] = ((__u64 *)s->read.bytes)[k];
		s->chain.len = s->read.len;
		s->chain_at = s->owner_at;
	}
	if (!read_name(s, at))
		return -1;
	ours = s->read.len == s->chain.len && same_name(s->read.bytes, s->chain.bytes, &s->read.len);
	s->owner_word = word;
	s->owner_ours = ours;
	return ours;
}

/*
 * The chain goes on to the name just read, from `at` on. A name that it may have met before, or one with addresses beside its
 * CNAME, leads to another reading: only the chain's end has addresses.
 */
static __always_inline void follow(struct scratch *s, __u32 at, __u32 ttl)
{
	__u64 bit = 1ULL << (mix(*(const __u64 *)s->read.bytes ^ s->read.len) & 63);

	if ((s->met & bit) || s->got)
		s->tangled = 1;
	s->met |= bit;
	s->cnames++;
	s->owner_at = at;
	s->owner_word = 0;
	note_link(s, at);
	if (ttl < s->min_ttl)
		s->min_ttl = ttl;
}

static long record_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 start = s->at;
	struct record r;
	int ours;

	s->record = i;
	ours = owner_is_ours(s, start);
	if (ours < 0 || !read_record(s, &r))
		goto broken;
	if (r.type == TYPE_OPT) {
		/* One, of the root, in the additional section; its time begins with the code's upper bits (RFC 6891 section 6.1). */
		if (s->record < s->answers || s->options++ || s->message[start & (FQDN_MESSAGE_MAX - 1)] || r.ttl >> 24)
			goto broken;
		return 0;
	}
	if (r.class != CLASS_IN)
		return 0;
	if ((r.type == TYPE_A && r.length != 4) || (r.type == TYPE_AAAA && r.length != 16))
		goto broken;
	if (r.type == TYPE_CNAME) {
		__u32 end = s->at;

		if (!read_name(s, r.at) || s->after != end)
			goto broken;
		s->at = end;
		if (s->record >= s->answers)
			return 0;
		if (ours)
			follow(s, r.at, ttl_of(&r));
		else
			s->astray++;
	} else if (s->record < s->answers && is_wanted_address(s, &r)) {
		if (ours)
			collect(s, &r);
		else
			s->others = 1;
	}
	return 0;
broken:
	s->broken = 1;
	return 1;
}

/* The message repeats the question. Byte by byte, so its name holds as that name does. */
static __always_inline int repeats_question(const struct scratch *s, const struct fqdn_pending *question)
{
	__u64 differ = 0;

	if (DNS_HEADER + question->name.len + 4 > s->length)
		return 0;
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		__u32 left = READ_ONCE(question->name.len) - 8 * k;

		if ((__s32)left <= 0)
			break;
		differ |= (lower8(*(const __u64 *)(s->message + DNS_HEADER + 8 * k)) ^ ((const __u64 *)question->name.bytes)[k]) & first_bytes((__s32)left);
		OPAQUE(differ);
	}
	return differ == 0;
}

/* Reads the message against the question of `job`: 0 = addresses collected, else why it teaches nothing. */
static __noinline int read_answer(struct job *job)
{
	const struct fqdn_pending *question = job->question;
	struct scratch *s = job->s;
	__u32 at;

	if (s->message[3] & DNS_RCODE)
		return FQDN_COUNT_ANSWER_ERROR;
	if ((s->message[2] & DNS_OPCODE) || be16_at(s, 4) != 1)
		return FQDN_COUNT_ANSWER_MALFORMED;
	s->answers = be16_at(s, 6);
	s->records = s->answers + be16_at(s, 8) + be16_at(s, 10);
	if (s->records > FQDN_RECORDS_MAX)
		return FQDN_COUNT_ANSWER_TOO_LONG;
	if (!question)
		return FQDN_COUNT_ANSWER_UNSOLICITED;
	at = DNS_HEADER + question->name.len;
	s->qtype = question->qtype;
	if (!repeats_question(s, question) || be16_at(s, at) != s->qtype || be16_at(s, at + 2) != CLASS_IN)
		return FQDN_COUNT_ANSWER_MISMATCH;
	s->owner_at = DNS_HEADER;
	s->chain_at = 0;
	s->owner_word = 0;
	s->min_ttl = MOST_TTL;
	s->got = 0;
	s->more = 0;
	s->longest = 0;
	s->options = 0;
	s->broken = 0;
	s->cnames = 0;
	s->credited_n = 0;
	s->astray = 0;
	s->others = 0;
	s->tangled = 0;
	s->met = 1ULL << (mix(*(const __u64 *)question->name.bytes ^ question->name.len) & 63);
	s->at = at + 4;
	bpf_loop(s->records, record_step, job, 0);
	if (s->broken || s->at != s->length)
		return FQDN_COUNT_ANSWER_MALFORMED;
	if ((s->tangled || s->astray || (s->others && s->cnames)) && !read_chain(job, at + 4))
		return FQDN_COUNT_ANSWER_CHAIN;
	/* Of a truncated answer too: musl before 1.2.4 asks no further, and connects to what is there. */
	return s->got ? 0 : FQDN_COUNT_ANSWER_EMPTY;
}

/* What is learned from here on is learned for the name of `question`, which is ours until its place is given back. */
static __always_inline void credit_name(struct scratch *s, const struct fqdn_name *name)
{
	s->name_key = hash_name(name->bytes, &name->len, s->secret, s->cgroup);
	s->name_kept = NAME_NOT_LOOKED_FOR;
	s->granted = NOT_KNOWN;
	s->learning = 0;
}

/* The next name of the chain in the question's stead, as if it had been asked for. 0 = there is none that can be read. */
static __always_inline int credit_next(struct job *job)
{
	struct fqdn_pending *question = job->question;
	struct scratch *s = job->s;

	if (!question || s->credit >= s->credited_n || !read_name(s, s->credited_at[s->credit & (CREDITED_MAX - 1)]))
		return 0;
	s->credit++;
	question->name.len = s->read.len;
	ROLLED for (int k = 0; k < NAME_WORDS; k++)
		((__u64 *)question->name.bytes)[k] = ((const __u64 *)s->read.bytes)[k];
	bring_name(s, &s->read);
	walk_again(job);
	question->class = s->class;
	question->plain = s->plain;
	question->generation = class_generation(job);
	credit_name(s, &question->name);
	return 1;
}

static long learn_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at, why, next;

	if (s->learning >= s->got && !credit_next(job))
		return 1;
	s->left.learned--;
	next = s->learning & (FQDN_ADDRESSES_MAX - 1);
	s->learning = next + 1;
	s->fresh.expiry = s->holds_from + s->address_ttl[next] * SECOND;
	at = s->address_at[next];
	if (at & ADDRESS_IS_V6) {
		at &= FQDN_MESSAGE_MAX - 1;
		__builtin_memcpy(s->flow.dest.bytes, s->message + at, 16);
	} else {
		__be32 v4;

		at &= FQDN_MESSAGE_MAX - 1;
		__builtin_memcpy(&v4, s->message + at, 4);
		map_v4(&s->flow.dest, v4);
	}
	why = learn_address(job);
	/* The next address may have the name with it. */
	if (why != FQDN_COUNT_NAMES_FULL)
		count(why);
	return 0;
}

static __always_inline struct fqdn_pending *find_waiting(const struct scratch *s, bool busy)
{
	struct fqdn_pending_page *page;
	__u32 first;

	page = pending_page(s, busy, &first);
	if (!page)
		return NULL;
	ROLLED for (__u32 way = 0; way < PENDING_WAYS_OF(busy); way++) {
		struct fqdn_pending *have = PENDING_PLACE(page, first, way);

		if (!is_asked(have, &s->asked) || !take_pending(have))
			continue;
		if (is_asked(have, &s->asked) && is_waiting(have, s->now))
			return have;
		give_pending(have);
	}
	return NULL;
}

/* The question that the message answers, taken; NULL = none waits. */
static __always_inline struct fqdn_pending *find_question(struct scratch *s)
{
	bool busy = s->busy_socket;
	struct fqdn_pending *question = find_waiting(s, busy);
	const struct fqdn_usage *used;

	if (!question)
		question = find_waiting(s, !busy);
	if (question)
		return question;
	used = bpf_map_lookup_elem(&usage, &s->cgroup);
	return used && s->now < used->spilled ? find_spot(s, true) : NULL;
}

/* Its server was a resolver when the question was asked, or is one now. */
static __always_inline int is_of_resolver(const struct scratch *s, const struct fqdn_pending *question)
{
	return (question && question->resolver && question->generation == s->generation) ||
	       resolver_entries(s->generation, (const union address *)s->asked.server);
}

/*
 * No such name, no such address, or that it is to be asked for over TCP, is the answer nevertheless, wherever that is cut (djbdns leaves
 * its counts as they were). Another error (SERVFAIL) may be followed by a better one.
 */
static __noinline int forget_unless_more(struct job *job, int why)
{
	struct fqdn_pending *question = job->question;
	bool no_name = why == FQDN_COUNT_ANSWER_ERROR && (job->s->message[3] & DNS_RCODE) == RCODE_NXDOMAIN;

	if (question && (why == FQDN_COUNT_ANSWER_EMPTY || ((no_name || why == FQDN_COUNT_ANSWER_TRUNCATED) && repeats_question(job->s, question))))
		forget_question(question);
	return 0;
}

/* What the answer to the question of `job` says, read into the buffer; 0, or the reason for which it teaches nothing. */
static __always_inline int take_addresses(struct job *job, const struct fqdn_node *node)
{
	struct scratch *s = job->s;
	const struct fqdn_image_head *head = job->head;
	int why;

	s->clamp.shortest = head->ttl_min;
	s->clamp.longest = head->ttl_max;
	s->clamp.grace = head->ttl_grace;
	s->secret[0] = node->secret[0];
	s->secret[1] = node->secret[1];
	why = read_answer(job);
	if (why) {
		if (s->message[2] & DNS_FLAG_TC)
			why = FQDN_COUNT_ANSWER_TRUNCATED;
		forget_unless_more(job, why);
		return why;
	}
	forget_question(job->question); /* its place; what stands there is ours until we give it back */
	if (!job->question)
		return FQDN_COUNT_ANSWER_UNSOLICITED;
	credit_name(s, &job->question->name);
	s->credit = 0;
	if (!(head->flags & FQDN_IMAGE_CHAIN))
		s->credited_n = 0;
	/* The next quarter of a second, about: what is asked again and again says nothing new before. */
	s->holds_from = s->now | ((1ULL << 28) - 1);
	return 0;
}

/* The answer in `message`, from the server in `asked`, finds its question, and is read; 0, or why it teaches nothing. */
static __noinline int read_whole(struct job *job, const struct fqdn_node *node)
{
	struct scratch *s = job->s;

	s->asked.id = *(__u16 *)s->message;
	if (!(s->message[2] & DNS_FLAG_QR))
		return FQDN_COUNT_ANSWER_MALFORMED;
	job->question = find_question(s);
	if (!is_of_resolver(s, job->question))
		return FQDN_COUNT_ANSWER_SERVER;
	if (!s->netns)
		return FQDN_COUNT_ANSWER_NAMESPACE;
	if (job->question && job->question->mute) /* audit learns what enforcement would */
		return FQDN_COUNT_ANSWER_AUDIT;
	return job->question ? take_addresses(job, node) : FQDN_COUNT_ANSWER_UNSOLICITED;
}

/* What was read is learned. A call of its own: what it calls in turn takes what 6.1 has of stack beside a segment's. */
static __noinline int learn_all(struct job *job)
{
	struct scratch *s = job->s;

	bpf_loop(s->left.learned, learn_step, job, 0);
	if (s->more || s->learning < s->got || s->credit < s->credited_n)
		count(FQDN_COUNT_ANSWER_MORE);
	return s->name_kept == NAME_FINDS_NO_ROOM ? FQDN_COUNT_NAMES_FULL : FQDN_COUNT_ANSWER_LEARNED;
}

/* The whole answer in `message`; gives the reason to count. */
static __always_inline int take_answer(struct job *job, const struct fqdn_node *node)
{
	int why;

	job->question = NULL;
	why = read_whole(job, node);
	if (!why)
		why = learn_all(job);
	give_pending(job->question);
	job->question = NULL;
	return why;
}

#endif
