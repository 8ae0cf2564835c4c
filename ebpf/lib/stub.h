/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A name server on loopback of a namespace of its own: a workload's, or one that nobody bound. */
#ifndef STUB_H
#define STUB_H

#include "workload.h"

#define THIS_NETNS -1

static __always_inline bool is_bound(struct bpf_sock *sk)
{
	for (int level = 0; level <= FQDN_CGROUP_DEPTH; level++) {
		__u64 id = bpf_sk_ancestor_cgroup_id(sk, level);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&workloads, &id))
			return true;
	}
	return false;
}

/* include/uapi/linux/icmp.h, icmpv6.h */
#define ECHO_REQUEST 8
#define ECHO_REPLY 0
#define ECHO_REQUEST_V6 128
#define ECHO_REPLY_V6 129

/*
 * A raw socket's ping of loopback, from loopback: the kernel answers whom the header names as the source, with all that the request
 * held, by a socket of its own; and other types it obeys (a redirect moves the resolver's route).
 */
static __always_inline bool is_own_echo(const struct flow *f)
{
	if (!is_loopback(&f->source) || !is_loopback(&f->dest))
		return false;
	return f->proto == PROTO_ICMP ? f->icmp_type == ECHO_REQUEST || f->icmp_type == ECHO_REPLY :
		f->proto == PROTO_ICMPV6 && (f->icmp_type == ECHO_REQUEST_V6 || f->icmp_type == ECHO_REPLY_V6);
}

/* Of loopback, but not where a container's neighbours serve each other: an engine puts its own name server there, on any port. */
static __always_inline bool is_odd_loopback(const union address *a)
{
	return is_v4(a) && a->bytes[12] == 127 && a->word[3] != bpf_htonl(0x7f000001);
}

/* 1 = who receives the packet is no workload: what he asks in turn nobody judges (bypass row 49). */
static __noinline int is_strangers(struct __sk_buff *skb, const struct flow *f)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	struct bpf_sock *sk;
	int stranger;

	/* All who listen hear what is sent to a group. */
	if (f->dest.bytes[0] == 0xff || (is_v4(&f->dest) && (f->dest.bytes[12] & 0xf0) == 0xe0))
		return 1;
	if (is_v4(&f->dest)) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.saddr = f->source.word[3];
		tuple.ipv4.daddr = f->dest.word[3];
		tuple.ipv4.sport = bpf_htons(f->source_port);
		tuple.ipv4.dport = bpf_htons(f->dest_port);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, f->source.bytes, 16);
		__builtin_memcpy(tuple.ipv6.daddr, f->dest.bytes, 16);
		tuple.ipv6.sport = bpf_htons(f->source_port);
		tuple.ipv6.dport = bpf_htons(f->dest_port);
	}
	sk = f->proto == PROTO_UDP ? bpf_sk_lookup_udp(skb, &tuple, size, THIS_NETNS, 0) : bpf_sk_lookup_tcp(skb, &tuple, size, THIS_NETNS, 0);
	if (!sk)
		return 0;
	stranger = !is_bound(sk);
	bpf_sk_release(sk);
	return stranger;
}

#endif
