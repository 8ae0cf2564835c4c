/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who came in, so that a server may answer: by its peers, never by policy. */
#ifndef INBOUND_H
#define INBOUND_H

#include "workload.h"

static __always_inline void inbound_key(struct fqdn_inbound_key *key, __u64 owner, const union address *peer, __u16 port, __u16 local, __u32 proto)
{
	key->owner = owner;
	__builtin_memcpy(key->addr, peer->bytes, 16);
	key->port = port;
	key->local_port = local;
	key->proto = proto;
}

/* The peer's datagrams have come in, we did not speak first, and the last one is not long ago. */
static __noinline int came_in(const struct fqdn_sock *sock, const struct flow *f)
{
	struct fqdn_inbound_key key = {};
	struct fqdn_inbound *peer;

	if (!sock || !sock->netns || (sock->flags & FQDN_SOCK_CONNECTED))
		return 0;
	inbound_key(&key, sock->netns, &f->dest, f->dest_port, f->source_port, f->proto);
	peer = bpf_map_lookup_elem(&inbound, &key);
	return peer && peer->state == FQDN_INBOUND_PEER && present_time() - peer->time < FQDN_INBOUND_MS * 1000000ULL;
}

/* The reply of a server, by a socket with these flags: TCP by the accepted socket's peer, UDP by the peer's last packet. */
static __always_inline int is_reply(const struct flow *f, const struct fqdn_sock *sock, __u32 flags)
{
	if (!sock)
		return 0;
	if (f->proto == PROTO_TCP)
		return (sock->flags & FQDN_SOCK_ACCEPTED) && sock->peer_port == f->dest_port && same_address(sock->peer, &f->dest);
	return f->proto == PROTO_UDP && (sock->flags & flags) == flags && came_in(sock, f);
}

/* We spoke first: what this peer sends opens nothing. */
static __noinline void mark_asked(const struct fqdn_sock *sock, const struct flow *f)
{
	struct fqdn_inbound asked = { .state = FQDN_INBOUND_ASKED };
	struct fqdn_inbound_key key = {};

	if (f->proto != PROTO_UDP || !sock || !sock->netns)
		return;
	inbound_key(&key, sock->netns, &f->dest, f->dest_port, f->source_port, f->proto);
	bpf_map_update_elem(&inbound, &key, &asked, BPF_NOEXIST);
}

#endif
