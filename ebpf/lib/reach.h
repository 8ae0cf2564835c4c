/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* May the workload send to this address and port: by the names learned for it, or by CIDR. */
#ifndef REACH_H
#define REACH_H

#include "never.h"
#include "recent.h"

static __always_inline int is_same_element(const struct fqdn_learned *value, const struct fqdn_learned_key *key)
{
	return value->cgroup == key->cgroup && value->netns == key->netns && same_address(value->addr, (const union address *)key->addr);
}

static __always_inline int bring_name(struct scratch *s, const struct fqdn_name *name)
{
	if (!name)
		return 0;
	ROLLED for (int i = 0; i < NAME_WORDS; i++)
		((__u64 *)s->name)[i] = ((const __u64 *)name->bytes)[i];
	s->name_len = name->len;
	return 1;
}

/*
 * The name of this key that led to the address of `learned_key`, to `name`: it stands with the address, or in `names`.
 * First where it was learned lately: what is no longer there has come to `learned`, or is over.
 */
APART int find_name(struct scratch *s, __u64 key)
{
	const struct fqdn_node *node = the_node();
	struct fqdn_learned_key learned_key;
	struct fqdn_learned *value;
	struct fqdn_recent *place;

	if (!s)
		return 0;
	learned_key = s->learned_key; /* 6.1 takes no key out of plain memory ("R2 type=mem expected=fp, ...") */
	place = recent_place(&s->learned_key);
	s->name_len = 0;
	if (place) {
		bpf_spin_lock(&place->lock);
		for (int i = 0; i < FQDN_CARRIED_MAX / 8; i++)
			((__u64 *)s->name)[i] = ((const __u64 *)place->bytes)[i];
		if (place->name.name == key && holds(place, &s->learned_key))
			s->name_len = place->len;
		bpf_spin_unlock(&place->lock);
	}
	value = bpf_map_lookup_elem(&learned, &learned_key);
	if (value && !READ_ONCE(s->name_len)) {
		bpf_spin_lock(&value->lock);
		for (int i = 0; i < FQDN_CARRIED_MAX / 8; i++)
			((__u64 *)s->name)[i] = ((const __u64 *)value->carried_bytes)[i];
		barrier();
		if (value->carried == key && is_same_element(value, &s->learned_key))
			s->name_len = value->carried_len;
		bpf_spin_unlock(&value->lock);
	}
	if (!s->name_len && !bring_name(s, bpf_map_lookup_elem(&names, &key)))
		return 0;
	/* An element that was given to another name while it was read shows by the hash. */
	return node && hash_name(s->name, &s->name_len, node->secret, s->cgroup) == key;
}

/* Classes of the name in `name`, which was learned under another policy: only its bytes can tell. */
static __always_inline void walk_again(struct job *job)
{
	struct scratch *s = job->s;

	find_labels(job);
	walk_name(job);
	s->plain = 0;
	if (s->has_star)
		read_plain(job);
}

static __always_inline int restate(struct job *job, struct fqdn_learned_name *entry)
{
	struct scratch *s = job->s;

	if (!may_be_learned(job) || !find_name(s, entry->name))
		return 0;
	walk_again(job);
	entry->class = s->class;
	entry->plain = s->plain;
	entry->learnable &= ~1; /* LEARNABLE */
	entry->generation = class_generation(job);
	return 1;
}

static long learned_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	struct fqdn_learned_name *entry = &s->names[i & (2 * FQDN_LEARNED_NAMES - 1)];

	if (!entry->name || s->now >= entry->expiry || (i < FQDN_LEARNED_NAMES && i >= s->names_n))
		return 0;
	judge_one(s, entry->class);
	if (entry->generation != s->generation) {
		if (!restate(job, entry))
			return 0;
		s->restated |= 1U << (i & (2 * FQDN_LEARNED_NAMES - 1));
		judge_name(job);
	}
	s->with_star = s->has_star && entry->plain;
	if (!judge(job))
		return 0;
	s->reached = 1;
	s->reached_name = entry->name;
	s->expiry = entry->expiry;
	s->held = entry->held;
	return 1;
}

/* The workload's element of `learned` for the address in `flow`. */
static __always_inline void set_learned_key(struct scratch *s)
{
	s->learned_key.cgroup = s->cgroup;
	s->learned_key.netns = s->netns;
	__builtin_memcpy(s->learned_key.addr, s->flow.dest.bytes, 16);
}

/* Copies the names out under the lock: none of an element taken anew, which is not ours. */
static __always_inline void read_learned(struct scratch *s)
{
	struct fqdn_learned_key key = s->learned_key; /* as in `find_name` */
	struct fqdn_learned *value = bpf_map_lookup_elem(&learned, &key);
	int ours = 0;

	if (value) {
		bpf_spin_lock(&value->lock);
		__builtin_memcpy(s->names, value->names, sizeof(value->names));
		ours = is_same_element(value, &key);
		value->used = s->now;
		bpf_spin_unlock(&value->lock);
	}
	s->names_n = ours ? FQDN_LEARNED_NAMES : 0;
}

/* INVARIANT: first what was learned lately. What is gone from there has come to `learned` before, or is over. */
static __always_inline void read_recent(struct scratch *s)
{
	struct fqdn_recent *place = recent_place(&s->learned_key);
	struct fqdn_learned_name *lately = &s->names[FQDN_LEARNED_NAMES];

	lately->name = 0;
	if (!place)
		return;
	bpf_spin_lock(&place->lock);
	if (holds(place, &s->learned_key))
		*lately = place->name;
	bpf_spin_unlock(&place->lock);
}

/* A call of its own: 6.1 counts what it needs of the stack to all that comes behind. */
APART int read_names(struct scratch *s)
{
	if (!s)
		return 0;
	read_recent(s);
	read_learned(s);
	return 0;
}

static __always_inline void write_restated(struct scratch *s)
{
	struct fqdn_learned *value = bpf_map_lookup_elem(&learned, &s->learned_key);

	if (!value)
		return;
	bpf_spin_lock(&value->lock);
	for (int i = 0; i < FQDN_LEARNED_NAMES; i++) {
		struct fqdn_learned_name *fresh = &s->names[i], *entry = &value->names[i];

		if (!(s->restated & (1U << i)) || entry->name != fresh->name || !is_same_element(value, &s->learned_key))
			continue;
		entry->generation = fresh->generation;
		entry->class = fresh->class;
		entry->plain = fresh->plain;
		entry->learnable = fresh->learnable;
	}
	bpf_spin_unlock(&value->lock);
}

static __always_inline int reach_by_name(struct job *job)
{
	struct scratch *s = job->s;

	s->reached = 0;
	s->reached_name = 0;
	s->restated = 0;
	/* In a namespace that is not known nothing was learned (bypass row 28). */
	if (!s->netns)
		return 0;
	set_learned_key(s);
	read_names(s);
	bpf_loop(FQDN_LEARNED_NAMES + 1, learned_step, job, 0);
	if (s->restated & ((1U << FQDN_LEARNED_NAMES) - 1))
		write_restated(s);
	return s->reached;
}

/* 1 = a rule allows `flow`; then `expiry` says until when, 0 = as long as the policy stands. */
static __noinline int may_reach(struct job *job)
{
	struct scratch *s = job->s;

	if (is_denied(job))
		return 0;
	s->usage = USE_REACH;
	s->any_port = 0;
	s->with_any = 0;
	if (reach_by_name(job))
		return 1;
	judge_one(s, address_class(job, &s->flow.dest));
	s->with_star = 0;
	s->expiry = 0;
	return judge(job);
}

/* What the cache of the socket last allowed is to the packet's destination; from which port, the name's `until` says. */
static __always_inline bool is_same_destination(const struct scratch *s, const struct fqdn_sock *sock)
{
	return !opens_connection(&s->flow) && sock->proto == s->flow.proto && sock->port == s->flow.dest_port &&
	       same_address(sock->addr, &s->flow.dest) && sock->workload == s->cgroup;
}

/* A TCP connection may outlive its name's time; a flow of datagrams on a connected socket, if its name's time is known. */
static __always_inline bool may_outlive(const struct scratch *s, const struct fqdn_sock *sock)
{
	return s->flow.proto == PROTO_TCP || (s->flow.proto == PROTO_UDP && (sock->flags & FQDN_SOCK_CONNECTED));
}

/*
 * Until when such a flow may: as long as an answer may last at most, from the last one for its name. 0 = it may not.
 */
static __always_inline __u64 lasts_until(const struct scratch *s, const struct fqdn_image_head *head)
{
	return s->reached_name && s->held && s->held * MINUTE < s->expiry ? s->expiry - s->held * MINUTE + head->ttl_max * SECOND : 0;
}

/* Its peer goes on sending; `lasts` is set for flows that may outlive their name's time alone. */
static __always_inline bool is_alive(const struct scratch *s, const struct fqdn_sock *sock)
{
	return s->flow.proto == PROTO_TCP || (s->now < sock->lasts && (__s64)(s->now - sock->heard) < (__s64)(FQDN_SILENT_MS * 1000000ULL));
}

/* Which destination a socket's name is of. */
static __always_inline __u64 destination_hash(const struct flow *f)
{
	return mix(mix(f->dest.half[0]) ^ f->dest.half[1]) ^ (__u64)f->dest_port << 16 ^ f->source_port;
}

/* The connection takes the name that allowed it along; one that an address alone allowed has none. */
static __always_inline void keep_socket_name(struct job *job, struct bpf_sock *sk, struct fqdn_sock *sock)
{
	struct scratch *s = job->s;
	struct fqdn_name *own;

	if (!s->reached_name || !find_name(s, s->reached_name)) {
		/* Not the name of another connection that this socket once was. */
		if (!is_same_destination(s, sock))
			bpf_sk_storage_delete(&socket_names, sk);
		return;
	}
	own = bpf_sk_storage_get(&socket_names, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own)
		return;
	/* With whom it is: another thread may send elsewhere by the same socket. */
	if (!begin_write(sock))
		return;
	__builtin_memcpy(own->bytes, s->name, sizeof(own->bytes));
	own->len = s->name_len;
	own->until = destination_hash(&s->flow);
	sock->lasts = lasts_until(s, job->head);
	end_write(sock);
}

/*
 * A connection that was allowed to this very destination before, by a name whose time may be over: it stays if the
 * present policy allows that name. Never a new one: `flow` is no SYN.
 */
static __noinline int may_stay(struct job *job, struct bpf_sock *sk, const struct fqdn_sock *sock)
{
	const struct fqdn_name *own;
	struct scratch *s = job->s;
	__u32 seq = READ_ONCE(sock->seq);

	if ((seq & 1) || !is_same_destination(s, sock) || !is_alive(s, sock) || is_denied(job) || !may_be_learned(job))
		return 0;
	own = bpf_sk_storage_get(&socket_names, sk, NULL, 0);
	if (!bring_name(s, own) || own->until != destination_hash(&s->flow))
		return 0;
	barrier();
	if (READ_ONCE(sock->seq) != seq)
		return 0;
	walk_again(job);
	s->usage = USE_REACH;
	s->any_port = 0;
	s->with_any = 0;
	s->with_star = s->has_star && s->plain;
	judge_name(job);
	s->expiry = sock->lasts;
	return judge(job);
}

#endif
