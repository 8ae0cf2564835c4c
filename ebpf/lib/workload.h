/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Whose packet it is: the nearest bound ancestor of the SOCKET's cgroup, never `current`'s. Kept in the
 * socket's storage with the epoch of the bindings.
 *
 * The storage is a cache that two CPUs may fill at once, so it is written under an odd sequence number that
 * only one of them gets; a reader that meets another number afterwards judges the slow way.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "judge.h"

static __always_inline __u64 bound_ancestor(struct __sk_buff *skb)
{
	__u64 found = 0;

	for (int level = 0; level <= FQDN_CGROUP_DEPTH; level++) {
		__u64 id = bpf_skb_ancestor_cgroup_id(skb, level);

		if (!id)
			break;
		if (bpf_map_lookup_elem(&workloads, &id))
			found = id;
	}
	return found;
}

static __always_inline __u64 bound_ancestor_of_current(void)
{
	__u64 found = 0;

	for (int level = 0; level <= FQDN_CGROUP_DEPTH; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			break;
		if (bpf_map_lookup_elem(&workloads, &id))
			found = id;
	}
	return found;
}

/* 1 = the cache is ours to write until `end_write`. */
static __always_inline int begin_write(struct fqdn_sock *sock)
{
	__u32 seq = READ_ONCE(sock->seq);

	return !(seq & 1) && __sync_val_compare_and_swap(&sock->seq, seq, seq + 1) == seq;
}

static __always_inline void end_write(struct fqdn_sock *sock)
{
	__sync_fetch_and_add(&sock->seq, 1);
}

static __always_inline void remember_workload(struct fqdn_sock *sock, __u64 epoch, __u64 workload)
{
	if (!begin_write(sock))
		return;
	if (sock->workload != workload)
		sock->proto = 0;
	sock->workload = workload;
	sock->epoch = epoch;
	end_write(sock);
}

/* 1 = the cache knows the workload in this epoch. */
static __always_inline int cached_workload(struct fqdn_sock *sock, __u64 epoch, __u64 *workload)
{
	__u32 seq = READ_ONCE(sock->seq);
	__u64 have = READ_ONCE(sock->workload);
	int same = READ_ONCE(sock->epoch) == epoch;

	barrier();
	if ((seq & 1) || READ_ONCE(sock->seq) != seq || !same)
		return 0;
	*workload = have;
	return 1;
}

static __always_inline __u64 workload_of(struct __sk_buff *skb, struct fqdn_sock *sock, __u64 epoch)
{
	__u64 workload;

	if (sock && cached_workload(sock, epoch, &workload))
		return workload;
	workload = bound_ancestor(skb);
	if (sock)
		remember_workload(sock, epoch, workload);
	else
		count(FQDN_COUNT_SOCKET_STATE_MISSING);
	return workload;
}

static __always_inline int same_address(const __u8 *a, const union address *b)
{
	return *(const __u64 *)a == b->half[0] && *(const __u64 *)(a + 8) == b->half[1];
}

/* By what the cache allows a flow. */
struct allowed {
	__u64 epoch;
	__u64 version; /* of the binding */
};

/* The packet is of the flow that the cache allows, under this image. Nothing that is sent from a DNS port is in there. */
static __always_inline int cached_flow(struct fqdn_sock *sock, const struct flow *f, __u64 workload, __u64 generation, struct allowed *allowed)
{
	__u32 seq = READ_ONCE(sock->seq);
	int same = READ_ONCE(sock->proto) == f->proto && READ_ONCE(sock->port) == f->dest_port && READ_ONCE(sock->source_port) == f->source_port &&
		   READ_ONCE(sock->generation) == generation &&
		   READ_ONCE(sock->workload) == workload && same_address(sock->addr, &f->dest);
	__u64 expiry = READ_ONCE(sock->expiry);

	allowed->epoch = READ_ONCE(sock->allowed_epoch);
	allowed->version = READ_ONCE(sock->version);
	barrier();
	if ((seq & 1) || READ_ONCE(sock->seq) != seq || !same)
		return 0;
	return !expiry || present_time() < expiry;
}

static __always_inline void remember_allow(struct fqdn_sock *sock, const struct flow *f, __u64 workload, __u64 generation, __u64 version, __u64 epoch, __u64 expiry)
{
	if (!begin_write(sock))
		return;
	/* Its peer has not been heard yet. */
	if (sock->port != f->dest_port || sock->source_port != f->source_port || !same_address(sock->addr, &f->dest))
		sock->heard = 0;
	__builtin_memcpy(sock->addr, f->dest.bytes, 16);
	sock->port = f->dest_port;
	sock->proto = f->proto;
	sock->source_port = f->source_port;
	sock->generation = generation;
	sock->version = version;
	sock->allowed_epoch = epoch;
	sock->expiry = expiry;
	/* Who it is was another's to say meanwhile; then the flow is not remembered. */
	if (sock->workload != workload)
		sock->proto = 0;
	end_write(sock);
}

/* Flags are set by hooks that may run at once, on several CPUs. */
static __always_inline void set_flags(struct fqdn_sock *sock, __u32 flags)
{
	__sync_fetch_and_or(&sock->flags, flags);
}

static __always_inline void clear_flags(struct fqdn_sock *sock, __u32 flags)
{
	__sync_fetch_and_and(&sock->flags, ~flags);
}

#define READ_KERNEL(to, place) bpf_probe_read_kernel(&(to), sizeof(to), &(place))

/*
 * The socket's network namespace, of a socket that was made before the programs were attached: no helper tells it to this
 * kind of program before Linux 6.15. 0 = not known.
 */
static __noinline __u64 netns_of(struct __sk_buff *skb)
{
	struct sk_buff *packet = (void *)skb;
	struct sock *sk;
	struct net *net;
	__u64 cookie;

	if (READ_KERNEL(sk, packet->sk) || !sk || READ_KERNEL(net, sk->__sk_common.skc_net.net) || !net || READ_KERNEL(cookie, net->net_cookie))
		return 0;
	return cookie;
}

/* The socket's storage; made if it is not there. NULL = it cannot be made: judged the slow way, and nothing counts by name. */
static __always_inline struct fqdn_sock *storage_of(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct fqdn_sock *sock = bpf_sk_storage_get(&sockets, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (sock && !sock->netns)
		sock->netns = netns_of(skb);
	return sock;
}

/* Made in a network namespace that is not the host's; unknown = no. */
static __always_inline int in_own_netns(const struct fqdn_sock *sock, const struct fqdn_node *node)
{
	return sock && sock->netns && sock->netns != node->host_netns;
}

static __always_inline __u64 cookie_of(struct __sk_buff *skb, const struct fqdn_sock *sock)
{
	return sock && sock->cookie ? sock->cookie : bpf_get_socket_cookie(skb);
}

/* The image that is active. INVARIANT (I2): called once for each packet. */
static __always_inline int open_image(struct job *job)
{
	__u32 zero = 0;

	job->image = bpf_map_lookup_elem(&image, &zero);
	if (!job->image)
		return 0;
	job->head = (void *)image_block(job, 0);
	return job->head != NULL;
}

/* The binding for the image just read, never for another. 0, or why the workload is denied. */
static __always_inline int open_binding(struct job *job, __u64 cgroup, const struct fqdn_image_head *head)
{
	struct fqdn_binding_key key = { .cgroup = cgroup, .generation = head->generation };

	job->binding = bpf_map_lookup_elem(&bindings, &key);
	return job->binding ? 0 : FQDN_COUNT_BINDING_MISSING;
}

/* What a judgement needs of the image that was opened. */
static __always_inline int open_tables(struct job *job)
{
	job->walk = (void *)image_block(job, 1);
	job->rows = (void *)image_block(job, 2);
	return job->walk && job->rows;
}

/* Four ports at once: the lowest lane that is zero borrows into its top bit (Warren, Hacker's Delight, section 6-1). */
static __always_inline bool has_port(__u64 ports, __u64 wanted)
{
	ports ^= wanted * 0x0001000100010001ULL;
	return ((ports - 0x0001000100010001ULL) & ~ports & 0x8000800080008000ULL) != 0;
}

_Static_assert(FQDN_DNS_PORTS == 8 && __builtin_offsetof(struct fqdn_image_head, dns_ports) % 8 == 0, "two words of ports");

static __always_inline bool is_dns_port(const struct fqdn_image_head *head, __u16 port)
{
	const __u64 *ports = (const __u64 *)head->dns_ports;

	return port && (has_port(ports[0], port) || has_port(ports[1], port));
}

/* Resolver entries that an address belongs to, in this image's generation. */
static __noinline __u32 resolver_entries(__u64 generation, const union address *address)
{
	struct fqdn_resolver_key key = { .prefixlen = 64 + 128 };
	struct fqdn_resolver_value *value;

	__builtin_memcpy(key.generation, &generation, 8);
	__builtin_memcpy(key.addr, address->bytes, 16);
	value = bpf_map_lookup_elem(&resolvers, &key);
	return value ? value->entries : 0;
}

#endif
