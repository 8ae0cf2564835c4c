/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Does a device's program meet what egress marks for it? One that another put before it may let packets pass by ours: then
 * a refused query would leave as it is.
 *
 * INVARIANT: at most DOUBT_MOST + 1 marked queries are on their way to a program that has not met them.
 */
#ifndef DEVICE_LIB_H
#define DEVICE_LIB_H

#include "workload.h"

#define DOUBT_TIME (FQDN_DOUBT_MS * 1000000ULL)

/* One more is marked. 0 = none may be. */
static __always_inline int mark_for(struct fqdn_device *device, struct fqdn_node *node)
{
	__u64 now, since;

	if (READ_ONCE(device->passed_by))
		return 0;
	if (__sync_fetch_and_add(&device->waiting, 1) <= FQDN_DOUBT_MOST)
		return 1;
	__sync_fetch_and_add(&device->waiting, -1);
	now = present_time();
	since = READ_ONCE(device->since);
	/* Looked at by the device's program: it clears the doubt with the next query that it meets. */
	READ_ONCE(node->doubt) = 1;
	if (!since)
		READ_ONCE(device->since) = now;
	else if (now - since > DOUBT_TIME)
		READ_ONCE(device->passed_by) = 1;
	return 0;
}

/* The device that the packet is about to leave by. */
static __always_inline struct fqdn_device *device_of(struct __sk_buff *skb)
{
	struct fqdn_device_key key = { .ifindex = skb->ifindex };
	struct sk_buff *packet = (void *)skb;
	struct net_device *dev;
	struct net *net;

	if (READ_KERNEL(dev, packet->dev) || READ_KERNEL(net, dev->nd_net.net) || READ_KERNEL(key.netns, net->net_cookie))
		return NULL;
	return bpf_map_lookup_elem(&devices, &key);
}

/* What was marked is met. */
static __always_inline void meet(struct __sk_buff *skb)
{
	struct fqdn_device *device = device_of(skb);

	if (device && (__s64)__sync_fetch_and_add(&device->waiting, -1) <= 0)
		device->waiting = 0;
}

/*
 * Some device is in doubt, and a query that may be asked meets our program here, so others do: what was marked and not met was
 * lost on its way, for want of a neighbour's address, say.
 */
static __noinline int clear_doubt(struct __sk_buff *skb, struct fqdn_node *node)
{
	struct fqdn_device *device = device_of(skb);

	if (!device || !READ_ONCE(device->since))
		return 0;
	READ_ONCE(node->doubt) = 0; /* another device that is in doubt says so again */
	READ_ONCE(device->waiting) = 0;
	READ_ONCE(device->since) = 0;
	READ_ONCE(device->passed_by) = 0;
	return 1;
}

#endif
