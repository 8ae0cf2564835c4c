/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a packet was sent to before netfilter translated it, by its own entry of the connection table. Nothing else proves
 * it: what the socket is connected to, or asked for last, another thread changes between two lines of the kernel.
 */
#ifndef TRANSLATION_H
#define TRANSLATION_H

#include "workload.h"

/* include/uapi/linux/netfilter/nf_conntrack_common.h, include/linux/netfilter/nf_conntrack_common.h */
#define CT_ORIGINAL 0
#define CT_REPLY 1
#define CT_ESTABLISHED 0
#define CT_NEW 2
#define CT_INFO 7UL
/* include/linux/socket.h */
#define FAMILY_INET6 10

/* BPF_TYPE_EXISTS of libbpf: 1 or 0 of the running kernel, known before the program is verified. */
#define TYPE_EXISTS(type) __builtin_preserve_type_info(*(type *)0, 0)

/* A server's address and port, of a packet that is translated on its way there. */
struct server {
	union address address;
	__u32 port; /* host order */
};

static __always_inline int is_address(const union nf_inet_addr *place, __u16 family, const union address *have)
{
	union address is;

	if (READ_KERNEL(is, *place))
		return 0;
	if (family == FAMILY_INET)
		map_v4(&is, is.word[0]);
	return is.half[0] == have->half[0] && is.half[1] == have->half[1];
}

/*
 * The entry says: the packet was sent to a server's DNS port, and is on its way to where it goes by a translation. Sets
 * `asked` to that server. Without an entry, or in a kernel without them, it was sent where it goes.
 */
APART int find_translation(struct __sk_buff *skb, const struct fqdn_image_head *head, const struct flow *f, struct server *asked)
{
	struct sk_buff *packet = (void *)skb;
	const struct nf_conntrack_tuple *sent, *back;
	unsigned long entry = 0;
	__u16 family = 0;
	__be16 port = 0, there = 0, here = 0;
	__u8 proto = 0;

	if (!head || !f || !asked || !TYPE_EXISTS(struct nf_conn) || READ_KERNEL(entry, packet->_nfct))
		return 0;
	/* Only who opened the connection asks. */
	if (entry <= CT_INFO || ((entry & CT_INFO) != CT_NEW && (entry & CT_INFO) != CT_ESTABLISHED))
		return 0;
	sent = &((struct nf_conn *)(entry & ~CT_INFO))->tuplehash[CT_ORIGINAL].tuple;
	back = &((struct nf_conn *)(entry & ~CT_INFO))->tuplehash[CT_REPLY].tuple;
	if (READ_KERNEL(port, sent->dst.u.all) || !is_dns_port(head, bpf_ntohs(port)))
		return 0;
	if (READ_KERNEL(family, sent->src.l3num) || READ_KERNEL(proto, sent->dst.protonum) || READ_KERNEL(there, back->src.u.all) ||
	    READ_KERNEL(here, back->dst.u.all))
		return 0;
	if (proto != f->proto || bpf_ntohs(there) != f->dest_port || bpf_ntohs(here) != f->source_port || (family != FAMILY_INET && family != FAMILY_INET6) ||
	    !is_address(&back->src.u3, family, &f->dest) || !is_address(&back->dst.u3, family, &f->source))
		return 0;
	if (READ_KERNEL(asked->address, sent->dst.u3))
		return 0;
	if (family == FAMILY_INET)
		map_v4(&asked->address, asked->address.word[0]);
	asked->port = bpf_ntohs(port);
	return 1;
}

#endif
