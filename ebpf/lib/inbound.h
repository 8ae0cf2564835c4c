/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who came in, so that a server may answer: by its peers, never by policy. */
#ifndef INBOUND_H
#define INBOUND_H

#include "workload.h"

/* enum in include/net/tcp_states.h; a datagram socket that is connected is `established` too */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE 7
#define STATE_LISTEN 10

#define SPOKEN_WORDS (FQDN_SPOKEN_BITS / 64)
#define SPOKEN_AT_ONCE 16
/* Nanoseconds for which a flow may be passed without a mark: half of what a mark lasts at least. */
#define MARKED_AGAIN (FQDN_SPOKEN_MS * 1000000ULL / 2)

_Static_assert(sizeof(((struct fqdn_spoken *)0)->bits) == 2 * SPOKEN_WORDS * 8, "two halves");

static __always_inline __u64 peer_hash(const struct fqdn_node *node, const union address *peer, __u16 port, __u64 netns)
{
	return mix(mix(mix(peer->half[0] ^ node->secret[0]) ^ peer->half[1] ^ node->secret[1]) ^ netns ^ (__u64)port << 48);
}

/* A datagram of the peer of the flow that the socket's cache allows: it is not over yet, whatever its name's time says. */
static __always_inline void hear_flow(struct fqdn_sock *sock, const struct flow *f)
{
	__u64 now = present_time();

	if (sock->proto == PROTO_UDP && sock->port == f->source_port && sock->source_port == f->dest_port &&
	    same_address(sock->addr, &f->source) && now - sock->heard > SECOND)
		sock->heard = now;
}

/*
 * A peer and our port, in a network namespace; never 0. By the namespace and not by the socket: one that closes leaves its port to
 * the next.
 */
static __always_inline __u64 inbound_hash(const struct fqdn_node *node, const union address *peer, __u16 port, __u16 local, __u64 netns)
{
	return mix(peer_hash(node, peer, port, netns) ^ (__u64)local << 32) | 1;
}

/* Half as long as the memory that full nanoseconds would take; it wraps after two years. */
#define PEER_TIME(time) ((__u32)((time) >> 24))
#define SET_OF(hash) ((hash) >> 1 & (FQDN_PEERS - FQDN_PEER_WAYS))

/*
 * The peer has sent to us, just now; `opens` = also if it had not lately. The place of who was heard longest ago is taken, a
 * peer of the same workload (bypass row 43).
 */
static __always_inline void hear_peer(struct fqdn_peers *own, __u64 hash, bool opens)
{
	__u64 first = SET_OF(hash), oldest = first;
	__u32 now = PEER_TIME(present_time());

	ROLLED for (__u32 way = 0; way < FQDN_PEER_WAYS; way++) {
		__u64 at = (first + way) & (FQDN_PEERS - 1);

		OPAQUE(at);
		at &= FQDN_PEERS - 1;
		if (READ_ONCE(own->hash[at]) == hash) {
			READ_ONCE(own->time[at]) = now;
			return;
		}
		if (now - own->time[at] > now - own->time[oldest & (FQDN_PEERS - 1)])
			oldest = at;
	}
	if (!opens)
		return;
	oldest &= FQDN_PEERS - 1;
	READ_ONCE(own->hash[oldest]) = hash;
	READ_ONCE(own->time[oldest]) = now;
}

/* The peer's datagrams have come in, we did not speak first, and the last one is not long ago. */
APART int came_in(const struct fqdn_sock *sock, const struct flow *f, __u64 cgroup)
{
	struct fqdn_node *node = the_node();
	struct fqdn_peers *own;
	__u64 hash, first;

	if (!sock || !f || !node || !sock->netns)
		return 0;
	own = bpf_map_lookup_elem(&peers, &cgroup);
	if (!own)
		return 0;
	hash = inbound_hash(node, &f->dest, f->dest_port, f->source_port, sock->netns);
	first = SET_OF(hash);
	ROLLED for (__u32 way = 0; way < FQDN_PEER_WAYS; way++) {
		__u64 at = (first + way) & (FQDN_PEERS - 1);

		OPAQUE(at);
		at &= FQDN_PEERS - 1;
		if (READ_ONCE(own->hash[at]) == hash)
			return (__s32)(PEER_TIME(present_time()) - READ_ONCE(own->time[at])) <= (__s32)PEER_TIME(FQDN_PEER_MS * 1000000ULL);
	}
	return 0;
}

/* The reply of a server, by a socket with these flags: TCP by the accepted socket's peer, UDP by the peer's last packet. */
static __always_inline int is_reply(const struct flow *f, const struct fqdn_sock *sock, __u64 cgroup, __u32 flags)
{
	if (!sock)
		return 0;
	if (f->proto == PROTO_TCP)
		return (sock->flags & FQDN_SOCK_ACCEPTED) && sock->peer_port == f->dest_port && same_address(sock->peer, &f->dest);
	return f->proto == PROTO_UDP && (sock->flags & flags) == flags && came_in(sock, f, cgroup);
}

struct forgetting {
	struct fqdn_spoken *spoken;
	__u64 half;
};

static long forget_words(__u32 i, struct forgetting *f)
{
	__u64 first = (f->half & 1) * SPOKEN_WORDS + SPOKEN_AT_ONCE * i;

	OPAQUE(first); /* as below */
	first &= 2 * SPOKEN_WORDS - SPOKEN_AT_ONCE;
	for (int k = 0; k < SPOKEN_AT_ONCE; k++)
		f->spoken->bits[first + k] = 0;
	return 0;
}

/* What was said two turns ago is forgotten. */
static __always_inline void turn_over(struct fqdn_spoken *spoken, __u64 turn)
{
	struct forgetting f = { .spoken = spoken, .half = turn };
	__u64 last = READ_ONCE(spoken->turn);

	if (turn <= last || __sync_val_compare_and_swap(&spoken->turn, last, turn) != last)
		return;
	bpf_loop(SPOKEN_WORDS / SPOKEN_AT_ONCE, forget_words, &f, 0);
	if (turn - last == 1)
		return;
	f.half = turn + 1;
	bpf_loop(SPOKEN_WORDS / SPOKEN_AT_ONCE, forget_words, &f, 0);
}

static __always_inline __u64 *spoken_word(struct fqdn_spoken *spoken, __u64 half, __u32 bit)
{
	__u64 word = (half & 1) * SPOKEN_WORDS + (bit / 64 & (SPOKEN_WORDS - 1));

	OPAQUE(word); /* 6.1 loses the bounds of the sum, which clang makes an OR */
	return spoken->bits + (word & (2 * SPOKEN_WORDS - 1));
}

/* We spoke first: what this peer sends opens nothing, for ten minutes at least. Two bits a peer, in the present half. */
APART int mark_asked(const struct fqdn_sock *sock, const struct flow *f, __u64 cgroup)
{
	struct fqdn_node *node = the_node();
	struct fqdn_spoken *spoken_now;
	__u64 turn, hash;

	if (!node || !f || f->proto != PROTO_UDP || !sock || !sock->netns)
		return 0;
	spoken_now = bpf_map_lookup_elem(&spoken, &cgroup);
	if (!spoken_now)
		return 0;
	turn = present_time() / (FQDN_SPOKEN_MS * 1000000ULL);
	turn_over(spoken_now, turn);
	hash = peer_hash(node, &f->dest, f->dest_port, sock->netns);
	__sync_fetch_and_or(spoken_word(spoken_now, turn, hash), 1ULL << (hash & 63));
	hash >>= 32;
	__sync_fetch_and_or(spoken_word(spoken_now, turn, hash), 1ULL << (hash & 63));
	return 0;
}

/* 1 = the workload spoke to this peer first, as far as the filter knows; also if there is none. */
static __always_inline bool spoke_first(__u64 cgroup, const union address *peer, __u16 port, __u64 netns)
{
	struct fqdn_spoken *spoken_now = bpf_map_lookup_elem(&spoken, &cgroup);
	struct fqdn_node *node = the_node();
	__u64 hash, first, second;

	if (!spoken_now || !node)
		return true;
	hash = peer_hash(node, peer, port, netns);
	first = 1ULL << (hash & 63), second = 1ULL << (hash >> 32 & 63);
	for (int half = 0; half < 2; half++)
		if ((READ_ONCE(*spoken_word(spoken_now, half, hash)) & first) && (READ_ONCE(*spoken_word(spoken_now, half, hash >> 32)) & second))
			return true;
	return false;
}

#endif
