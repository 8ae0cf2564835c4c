/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What IPv6 lives by: neighbour discovery and listener reports. */
#ifndef NEIGHBOUR_H
#define NEIGHBOUR_H

#include "workload.h"

/* include/uapi/linux/icmpv6.h, include/linux/icmpv6.h */
#define MLD_REPORT 131
#define MLD_DONE 132
#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define MLD2_REPORT 143

/* fe80::/10 or ff02::/16 */
static __always_inline bool stays_on_link(const union address *a)
{
	return (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80) || (a->bytes[0] == 0xff && a->bytes[1] == 0x02);
}

/*
 * To an address that is not of the link: no longer than a message with one option, and a solicitation asks for the very
 * address that it is sent to. A raw socket made before the programs were attached looks like the kernel's own.
 */
static __always_inline int probes_a_neighbour(struct __sk_buff *skb, const struct flow *f)
{
	union address target;

	if (f->icmp_type == ND_ROUTER_SOLICIT || skb->len > f->payload + 32 || bpf_skb_load_bytes(skb, f->payload + 8, &target, 16))
		return 0;
	return f->icmp_type == ND_NEIGHBOUR_ADVERT || same_address(target.bytes, &f->dest);
}

/* The socket is a process's: the kernel's own ones have no file. */
static __noinline int has_file(struct __sk_buff *skb)
{
	struct sk_buff *packet = (void *)skb;
	struct socket *socket;
	struct sock *sk;
	void *file;

	if (READ_KERNEL(sk, packet->sk) || !sk || READ_KERNEL(socket, sk->sk_socket) || !socket || READ_KERNEL(file, socket->file))
		return 0;
	return file != NULL;
}

/*
 * IPv6 lives by these (RFC 4861 section 7.1, RFC 3810 section 5). The kernel's own sockets never pass sock_create, and have no
 * file, so a socket that did or has is the workload's raw one: it may look for routers on the link, and say nothing of who is where, in no option either
 * (bypass row 59).
 */
static __always_inline int is_neighbour_message(struct __sk_buff *skb, const struct flow *f, const struct fqdn_sock *sock, bool *forged)
{
	bool own;

	if (f->proto != PROTO_ICMPV6 || is_v4(&f->dest))
		return 0;
	own = (sock && (sock->flags & FQDN_SOCK_CREATED)) || has_file(skb);
	if (f->icmp_type == MLD_REPORT || f->icmp_type == MLD_DONE || f->icmp_type == MLD2_REPORT)
		return f->dest.bytes[0] == 0xff && f->dest.bytes[1] == 0x02;
	if (f->icmp_type == ND_ROUTER_ADVERT || f->icmp_type == ND_REDIRECT) {
		*forged = own;
		return !own && f->hop_limit == 255 && stays_on_link(&f->dest);
	}
	if (f->icmp_type != ND_ROUTER_SOLICIT && f->icmp_type != ND_NEIGHBOUR_SOLICIT && f->icmp_type != ND_NEIGHBOUR_ADVERT)
		return 0;
	*forged = (own && (f->icmp_type != ND_ROUTER_SOLICIT || skb->len > f->payload + 8)) || (!stays_on_link(&f->dest) && (own || !probes_a_neighbour(skb, f)));
	return f->hop_limit == 255 && !*forged;
}

#endif
