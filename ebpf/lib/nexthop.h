/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Whom the packet is handed to. A socket may ask for a device and for no gateway (SO_BINDTODEVICE and SO_DONTROUTE, their
 * like of a single send, IP_UNICAST_IF): the kernel then takes every address for a neighbour's, and whoever is on that link
 * answers as the resolver (bypass row 48). A raw socket is routed by what it sends to, and not by its header.
 */
#ifndef NEXTHOP_H
#define NEXTHOP_H

#include "workload.h"

/* BPF_FIELD_EXISTS of libbpf */
#define FIELD_EXISTS(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
/* SKB_DST_NOREF of include/linux/skbuff.h: not part of the address. */
#define REFDST_FLAGS 1UL

/* The routes that the kernel keeps are with their nexthop of the table; the others are in a list (rt_set_nexthop, net/ipv4/route.c). */
static __always_inline bool is_kept(const struct rtable *route)
{
	const struct rtable___before_6_4 *old = (void *)route;
	const struct list_head *place;
	struct list_head *next = NULL;

	place = FIELD_EXISTS(struct dst_entry, rt_uncached) ? &route->dst.rt_uncached : &old->rt_uncached;
	return READ_KERNEL(next, place->next) || !next || next == place;
}

/*
 * 1 = not to the neighbour whom the routing table names. There the neighbour of a route that is not kept is written down as its
 * gateway: a raw socket's is whom it sends to; none, if no entry of the table made the route. IPv6 takes nobody for a
 * neighbour who is not of the table (RFC 5942), but what a raw socket's header says.
 */
APART int goes_astray(struct __sk_buff *skb, const struct flow *f, __u32 raw)
{
	struct sk_buff *packet = (void *)skb;
	const struct rtable *route;
	unsigned long entry = 0;
	__be32 neighbour = 0;

	/* A group's address on the link is the group's. */
	if (!f || skb->ifindex == LOOPBACK_DEVICE || !is_v4(&f->dest) || (f->dest.bytes[12] & 0xf0) == 0xe0 || READ_KERNEL(entry, packet->_skb_refdst))
		return 0;
	route = (void *)(entry & ~REFDST_FLAGS);
	if (!route || is_kept(route) || READ_KERNEL(neighbour, route->rt_gw4))
		return 0;
	return raw ? neighbour != f->dest.word[3] : !neighbour;
}

#endif
