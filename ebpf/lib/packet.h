/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From packet to flow: addresses, protocol, ports. Whatever cannot be read is refused by its reason. */
#ifndef PACKET_H
#define PACKET_H

#include "maps.h"

/* include/uapi/linux/in.h, in6.h */
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132
#define EXT_HOPOPTS 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_AUTH 51
#define EXT_DSTOPTS 60
/* include/uapi/linux/if_ether.h, network order as in skb->protocol */
#define ETHERTYPE_IPV4 bpf_htons(0x0800)
#define ETHERTYPE_IPV6 bpf_htons(0x86DD)
/* include/linux/socket.h */
#define FAMILY_INET 2
/* include/net/tcp.h */
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10
#define TCP_FLAG_URG 0x20
/* The loopback device is the first of every network namespace (LOOPBACK_IFINDEX, include/net/flow.h). */
#define LOOPBACK_DEVICE 1
/* More extension headers than that carry nothing honest. */
#define EXT_HEADERS_MAX 8

union address {
	__u8 bytes[16];
	__u32 word[4];
	__u64 half[2];
};

struct flow {
	union address source;
	union address dest;
	__u16 source_port; /* host order, 0 where the protocol has none */
	__u16 dest_port;
	__u16 proto;
	__u16 payload; /* offset of what follows the transport header */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 hop_limit;
	__u8 pad;
	__u16 udp_length; /* as its header says, host order */
	__u16 pad2;
	__u32 sequence; /* of TCP, host order */
	__u32 ack;
};

static __always_inline void map_v4(union address *a, __be32 v4)
{
	a->half[0] = 0;
	a->word[2] = bpf_htonl(0x0000ffff);
	a->word[3] = v4;
}

static __always_inline bool is_v4(const union address *a)
{
	return a->half[0] == 0 && a->word[2] == bpf_htonl(0x0000ffff);
}

/* The kernel takes it for loopback, where one connects to it. */
static __always_inline bool is_any(const union address *a)
{
	return a->half[0] == 0 && (a->half[1] == 0 || (is_v4(a) && a->word[3] == 0));
}

static __always_inline bool is_loopback(const union address *a)
{
	if (is_v4(a))
		return a->bytes[12] == 127;
	return a->half[0] == 0 && a->half[1] == bpf_cpu_to_be64(1);
}

/* What stands behind the IP header, at least as many bytes as its protocol asks for; it begins at `at`. */
static __always_inline void take_transport(const __u8 *head, struct flow *f, __u32 at)
{
	f->payload = at;
	if (f->proto == PROTO_ICMP || f->proto == PROTO_ICMPV6)
		f->icmp_type = head[0];
	if (f->proto != PROTO_TCP && f->proto != PROTO_UDP && f->proto != PROTO_SCTP)
		return;
	f->source_port = head[0] << 8 | head[1];
	f->dest_port = head[2] << 8 | head[3];
	f->payload = at + 8;
	f->udp_length = head[4] << 8 | head[5];
	if (f->proto != PROTO_TCP)
		return;
	f->tcp_flags = head[13];
	f->sequence = (__u32)head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7];
	f->ack = (__u32)head[8] << 24 | head[9] << 16 | head[10] << 8 | head[11];
	f->payload = at + ((head[12] >> 4) * 4);
}

#define V4_HEADER 20
#define V6_HEADER 40
/* Of TCP's header as much as is looked at. */
#define TRANSPORT_HEADER 14

static __always_inline int take_v4(const __u8 *head, struct flow *f)
{
	__be32 address;

	if (head[0] >> 4 != 4 || (head[0] & 15) * 4 < V4_HEADER)
		return FQDN_COUNT_HEADER_MALFORMED;
	/* Options: a source route among them sends the packet elsewhere, and no honest workload needs the others. */
	if ((head[0] & 15) * 4 > V4_HEADER)
		return FQDN_COUNT_HEADER_ROUTING;
	/* More fragments, or an offset: at this hook only a raw socket makes them. */
	if ((head[6] & 0x3f) | head[7])
		return FQDN_COUNT_HEADER_FRAGMENT;
	__builtin_memcpy(&address, head + 12, 4);
	map_v4(&f->source, address);
	__builtin_memcpy(&address, head + 16, 4);
	map_v4(&f->dest, address);
	f->proto = head[9];
	f->hop_limit = head[8];
	return 0;
}

/* All but its protocol, which may stand behind extension headers. */
static __always_inline int take_v6(const __u8 *head, struct flow *f)
{
	if (head[0] >> 4 != 6)
		return FQDN_COUNT_HEADER_MALFORMED;
	__builtin_memcpy(f->source.bytes, head + 8, 16);
	__builtin_memcpy(f->dest.bytes, head + 24, 16);
	f->hop_limit = head[7];
	return 0;
}

static __always_inline int load_transport(struct __sk_buff *skb, struct flow *f, __u32 at)
{
	__u8 head[TRANSPORT_HEADER] = {};
	int failed = 0;

	if (f->proto == PROTO_TCP)
		failed = bpf_skb_load_bytes(skb, at, head, TRANSPORT_HEADER);
	else if (f->proto == PROTO_UDP || f->proto == PROTO_SCTP)
		failed = bpf_skb_load_bytes(skb, at, head, 8);
	else if (f->proto == PROTO_ICMP || f->proto == PROTO_ICMPV6)
		failed = bpf_skb_load_bytes(skb, at, head, 1);
	if (failed)
		return FQDN_COUNT_HEADER_MALFORMED;
	take_transport(head, f, at);
	return 0;
}

static __always_inline int load_v4(struct __sk_buff *skb, struct flow *f)
{
	__u8 head[V4_HEADER];
	int why;

	if (bpf_skb_load_bytes(skb, 0, head, V4_HEADER))
		return FQDN_COUNT_HEADER_MALFORMED;
	why = take_v4(head, f);
	return why ? why : load_transport(skb, f, V4_HEADER);
}

static __always_inline int load_v6(struct __sk_buff *skb, struct flow *f)
{
	__u8 head[V6_HEADER];
	__u8 extension[2];
	__u32 at = V6_HEADER;
	__u8 next;

	if (bpf_skb_load_bytes(skb, 0, head, V6_HEADER) || take_v6(head, f))
		return FQDN_COUNT_HEADER_MALFORMED;
	next = head[6];
	for (int i = 0; i < EXT_HEADERS_MAX; i++) {
		if (next == EXT_ROUTING)
			return FQDN_COUNT_HEADER_ROUTING;
		if (next == EXT_FRAGMENT)
			return FQDN_COUNT_HEADER_FRAGMENT;
		if (next != EXT_HOPOPTS && next != EXT_DSTOPTS && next != EXT_AUTH) {
			f->proto = next;
			return load_transport(skb, f, at);
		}
		if (bpf_skb_load_bytes(skb, at, extension, 2))
			return FQDN_COUNT_HEADER_MALFORMED;
		/* RFC 4302 counts an authentication header in words of 4, RFC 8200 the others in 8. */
		at += next == EXT_AUTH ? (extension[1] + 2) * 4 : (extension[1] + 1) * 8;
		next = extension[0];
	}
	return FQDN_COUNT_HEADER_MALFORMED;
}

/* Whatever the packet looks like, and wherever its bytes lie. */
static __noinline int load_flow(struct __sk_buff *skb, struct flow *f)
{
	if (skb->protocol == ETHERTYPE_IPV4)
		return load_v4(skb, f);
	if (skb->protocol == ETHERTYPE_IPV6)
		return load_v6(skb, f);
	return FQDN_COUNT_HEADER_MALFORMED;
}

static __always_inline bool opens_connection(const struct flow *f)
{
	return f->proto == PROTO_TCP && (f->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

/*
 * 0, or the reason for which the packet is refused. TCP and UDP without more headers, in the linear part of the packet,
 * is nearly all there is: no helper is called for it.
 */
static __always_inline int read_flow(struct __sk_buff *skb, struct flow *f)
{
	const __u8 *head = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	int why;

	__builtin_memset(f, 0, sizeof(*f));
	if (skb->protocol == ETHERTYPE_IPV4 && head + V4_HEADER + TRANSPORT_HEADER <= end && (head[9] == PROTO_TCP || head[9] == PROTO_UDP)) {
		why = take_v4(head, f);
		if (!why)
			take_transport(head + V4_HEADER, f, V4_HEADER);
		return why;
	}
	if (skb->protocol == ETHERTYPE_IPV6 && head + V6_HEADER + TRANSPORT_HEADER <= end && (head[6] == PROTO_TCP || head[6] == PROTO_UDP)) {
		why = take_v6(head, f);
		f->proto = head[6];
		if (!why)
			take_transport(head + V6_HEADER, f, V6_HEADER);
		return why;
	}
	return load_flow(skb, f);
}

#endif
