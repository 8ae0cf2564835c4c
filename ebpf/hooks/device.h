/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What leaves by a device of a workload's namespace, after all cgroup hooks: refused queries are turned into their
 * answers, and packets that never met those hooks are stopped.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "lib/device.h"
#include "lib/verdict.h"

/* include/uapi/linux/bpf.h: enum tcx_action_base, the same numbers as TC_ACT_* */
#define DEVICE_NEXT -1
#define DEVICE_PASS 0
#define DEVICE_DROP 2
/* include/linux/socket.h */
#define ETHERNET_HEADER 14
/* include/uapi/linux/if_ether.h: what carries no IP */
#define ETHERTYPE_LEAST 0x0600
#define ETHERTYPE_ARP 0x0806

/* Offsets from the device's header on; egress marks only packets without options and extension headers. */
#define V4_ADDRESSES (ETHERNET_HEADER + 12)
#define V6_ADDRESSES (ETHERNET_HEADER + 8)
#define V4_UDP (ETHERNET_HEADER + 20)
#define V6_UDP (ETHERNET_HEADER + 40)
/* RFC 791: a fragment that is not the first has no ports */
#define V4_OFFSET bpf_htons(0x1fff)

static __always_inline int swap(struct __sk_buff *skb, __u32 at, __u32 size)
{
	__u8 first[16], second[16];

	if (bpf_skb_load_bytes(skb, at, first, size) || bpf_skb_load_bytes(skb, at + size, second, size))
		return -1;
	return bpf_skb_store_bytes(skb, at, second, size, 0) || bpf_skb_store_bytes(skb, at + size, first, size, 0);
}

/*
 * The query becomes the answer that says no. What is swapped leaves the checksum as it is; for the flags it is
 * corrected, where there is one (RFC 768: 0 = none).
 */
static __always_inline int answer_query(struct __sk_buff *skb, __u32 how)
{
	bool v4 = skb->protocol == ETHERTYPE_IPV4;
	__u8 proto;
	__u32 udp = v4 ? V4_UDP : V6_UDP;
	__u32 flags_at = udp + 8 + 2;
	__be16 before, after;
	__u8 flags[2];

	if ((!v4 && skb->protocol != ETHERTYPE_IPV6) || bpf_skb_load_bytes(skb, ETHERNET_HEADER + (v4 ? 9 : 6), &proto, 1) || proto != PROTO_UDP)
		return -1;
	if ((v4 ? swap(skb, V4_ADDRESSES, 4) : swap(skb, V6_ADDRESSES, 16)) || swap(skb, udp, 2) || swap(skb, 0, 6))
		return -1;
	if (bpf_skb_load_bytes(skb, flags_at, &before, 2))
		return -1;
	__builtin_memcpy(flags, &before, 2);
	flags[0] = DNS_FLAG_QR | (flags[0] & DNS_FLAG_RD);
	flags[1] = DNS_FLAG_RA | (flags[1] & DNS_FLAG_CD) | refusal_code(how);
	__builtin_memcpy(&after, flags, 2);
	if (bpf_skb_store_bytes(skb, flags_at, &after, 2, 0))
		return -1;
	return bpf_l4_csum_replace(skb, udp + 6, before, after, 2 | BPF_F_MARK_MANGLED_0);
}

/*
 * The frame poses as a resolver's answer, or hides what it is: behind extension headers, a VLAN's tag, another protocol that may
 * carry IP. It would teach its neighbours (bypass row 1), so it is stopped in every mode. By what it says itself: what the
 * sender calls it (`sll_protocol`) is his word. A fragment may complete a resolver's own answer.
 */
static __noinline int may_pose(struct __sk_buff *skb, const struct fqdn_image_head *head)
{
	union address source;
	__u32 ports = V6_UDP;
	__be16 type, port, fragment = 0;
	__u8 byte;
	bool v4;

	if (!head || bpf_skb_load_bytes(skb, 12, &type, 2))
		return 0;
	v4 = type == ETHERTYPE_IPV4;
	if (!v4 && type != ETHERTYPE_IPV6)
		return bpf_ntohs(type) >= ETHERTYPE_LEAST && bpf_ntohs(type) != ETHERTYPE_ARP;
	if (bpf_skb_load_bytes(skb, ETHERNET_HEADER + (v4 ? 9 : 6), &byte, 1))
		return 0;
	if (byte != PROTO_UDP && byte != PROTO_TCP)
		return !v4 && (byte == EXT_HOPOPTS || byte == EXT_ROUTING || byte == EXT_FRAGMENT || byte == EXT_AUTH || byte == EXT_DSTOPTS);
	if (v4) {
		__be32 address;

		if (bpf_skb_load_bytes(skb, V4_ADDRESSES, &address, 4) || bpf_skb_load_bytes(skb, ETHERNET_HEADER, &byte, 1) ||
		    bpf_skb_load_bytes(skb, ETHERNET_HEADER + 6, &fragment, 2))
			return 0;
		map_v4(&source, address);
		ports = ETHERNET_HEADER + (byte & 15) * 4;
	} else if (bpf_skb_load_bytes(skb, V6_ADDRESSES, &source, 16)) {
		return 0;
	}
	if (resolver_entries(head->generation, &source))
		return 1;
	/* As whom a translation on the way turns into a resolver. */
	return !(fragment & V4_OFFSET) && !bpf_skb_load_bytes(skb, ports, &port, 2) && is_dns_port(head, bpf_ntohs(port));
}

/*
 * A packet socket of a workload whose policy denies by default. None of a bound one sends under our marks, over loopback, or
 * as a resolver, whatever its mode and policy.
 */
static __always_inline int judge_packet_socket(struct __sk_buff *skb, const struct fqdn_node *node)
{
	const struct fqdn_image_head *head;
	__u64 cgroup = bound_ancestor(skb);
	struct job job = {};
	int why;

	if (!cgroup)
		return DEVICE_NEXT;
	why = open_policy(&job, cgroup, &head);
	if (skb->ifindex == LOOPBACK_DEVICE || (skb->mark & ~REFUSE_BITS) == node->refuse_mark || skb->mark == node->vouch_mark ||
	    (!why && may_pose(skb, head))) {
		count(FQDN_COUNT_PACKET_SOCKET);
		return DEVICE_DROP;
	}
	if (!why && !(job.binding->flags & (FQDN_BINDING_ENFORCED | FQDN_BINDING_DENIES)))
		return DEVICE_NEXT;
	return refuse(cgroup, why ? why : FQDN_COUNT_PACKET_SOCKET) == PASS ? DEVICE_NEXT : DEVICE_DROP;
}

/* A query as egress lets it pass, by plain headers. */
static __noinline bool is_datagram_to_dns(struct __sk_buff *skb)
{
	bool v4 = skb->protocol == ETHERTYPE_IPV4;
	const struct fqdn_image_head *head;
	struct job job = {};
	__be16 port;
	__u8 proto;

	if ((!v4 && skb->protocol != ETHERTYPE_IPV6) || bpf_skb_load_bytes(skb, ETHERNET_HEADER + (v4 ? 9 : 6), &proto, 1) || proto != PROTO_UDP ||
	    bpf_skb_load_bytes(skb, (v4 ? V4_UDP : V6_UDP) + 2, &port, 2) || open_head(&job, &head))
		return false;
	return is_dns_port(head, bpf_ntohs(port));
}

SEC("classifier")
int fqdn_device(struct __sk_buff *skb)
{
	struct fqdn_node *node = the_node();
	struct bpf_sock *sk = skb->sk;
	__u32 how;

	if (!node || !node->workloads)
		return DEVICE_NEXT;
	/* First: a packet socket can set a mark, too. So can AF_XDP, and whatever else no cgroup hook meets (AF_PPPOX). */
	if (sk && sk->family != FAMILY_INET && sk->family != FAMILY_INET6)
		return judge_packet_socket(skb, node);
	if (node->refuse_mark && (skb->mark & ~REFUSE_BITS) == node->refuse_mark) {
		how = skb->mark & REFUSE_BITS;
		meet(skb);
		if (!how || answer_query(skb, how))
			return DEVICE_DROP;
		count(FQDN_COUNT_REFUSAL_ANSWERED);
		/* On loopback it arrives by itself; a redirection there would lose its route ("martian source"). */
		return skb->ifindex == LOOPBACK_DEVICE ? DEVICE_PASS : bpf_redirect(skb->ifindex, BPF_F_INGRESS);
	}
	if (READ_ONCE(node->doubt) && is_datagram_to_dns(skb))
		clear_doubt(skb, node);
	return DEVICE_NEXT;
}

#endif
